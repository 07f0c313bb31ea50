"""Foreign systems: the Kafka topic written to, the log file followed."""
