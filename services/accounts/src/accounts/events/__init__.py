"""The events that accounts publishes."""
