"""Events that accounts reads: none so far."""
