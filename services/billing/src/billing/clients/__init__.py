"""Stripe; its errors stop here."""
