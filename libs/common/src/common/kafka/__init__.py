"""Reading Kafka: positions kept in PostgreSQL, so that a record's effect and its offset are one commit."""
