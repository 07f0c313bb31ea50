"""What metering publishes."""
