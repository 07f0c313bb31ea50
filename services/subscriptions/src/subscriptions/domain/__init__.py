"""What is true about subscriptions and keys: pure, without clock, randomness or input/output."""
