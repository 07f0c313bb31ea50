"""Mechanism that every service shares. Nothing here knows what an API, a plan or an invoice is."""
