"""The REST endpoints of accounts."""
