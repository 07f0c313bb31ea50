"""What is true about APIs, versions, documents and plans: pure, without clock, randomness or input/output."""
