"""kong-sync: makes the gateway match what the other services decided."""
