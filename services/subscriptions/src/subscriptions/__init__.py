"""Subscriptions and API keys: who may call what, on which terms."""
