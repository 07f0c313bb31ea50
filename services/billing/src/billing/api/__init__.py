"""Routers and their bodies, one file per resource."""
