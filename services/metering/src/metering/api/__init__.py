"""Routers and bodies."""
