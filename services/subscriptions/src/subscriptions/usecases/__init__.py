"""What can be done with subscriptions and keys: one file, one verb."""
