"""Every metric of billing. Labels come from small closed sets, never an id."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

INVOICES_ISSUED = Counter("billing_invoices_issued_total", "Invoices issued.", ["currency"])
INVOICES_PAID = Counter("billing_invoices_paid_total", "Invoices paid.", ["currency"])
INVOICED_MINOR_UNITS = Counter(
    "billing_invoiced_minor_units_total", "Money invoiced, in minor units.", ["currency"]
)
PAID_MINOR_UNITS = Counter("billing_paid_minor_units_total", "Money collected, in minor units.", ["currency"])
PAYMENTS_REFUSED = Counter("billing_payments_refused_total", "Payments that did not go through.", ["reason"])
PAYOUTS_FINISHED = Counter(
    "billing_payouts_finished_total", "Transfers to providers, by outcome.", ["outcome"]
)
CLOSES_HELD = Gauge(
    "billing_closes_held",
    "Organisations whose close waits: for terms that are not known yet, or for an operator's release.",
)
TERMS_ALTERED = Counter(
    "billing_terms_altered_total", "Events whose terms differ from those sold; the ones sold stay."
)
STRIPE_CALLS = Counter("billing_stripe_calls_total", "Changing requests to Stripe.", ["operation", "outcome"])
WEBHOOKS = Counter("billing_webhooks_total", "Webhook events received.", ["outcome"])
RECONCILE_DIFFERENCES = Gauge("billing_reconcile_differences", "Differences the last reconciliation found.")
