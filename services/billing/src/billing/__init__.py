"""Billing: rating, invoices, the ledger, collection and payouts."""
