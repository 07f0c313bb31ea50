"""The events that the catalogue publishes."""
