"""Incoming events and the request log."""
