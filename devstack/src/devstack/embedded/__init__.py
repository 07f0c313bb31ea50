"""The embedded parts: real PostgreSQL and Redis servers and a Kafka-compatible broker, all from wheels."""
