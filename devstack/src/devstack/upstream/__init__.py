"""The sample upstream: a small currency rates API that ships its OpenAPI document and journals every call."""
