"""The endpoints, one file per family. Importing this package fills the table in `devstack.stripe.routing`."""

from devstack.stripe.resources import (
    accounts,
    balance,
    charges,
    customers,
    event_log,
    invoice_items,
    invoices,
    payment_intents,
    payment_methods,
    portal,
    refunds,
    search,
    transfers,
)

__all__ = [
    "accounts",
    "balance",
    "charges",
    "customers",
    "event_log",
    "invoice_items",
    "invoices",
    "payment_intents",
    "payment_methods",
    "portal",
    "refunds",
    "search",
    "transfers",
]
