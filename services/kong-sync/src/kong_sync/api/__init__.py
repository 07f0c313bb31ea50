"""Routers and their bodies, one file a resource."""
