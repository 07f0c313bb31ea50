"""Metering: every call counted exactly once."""
