"""The embedded stack: what it consists of, and the supervisor that runs it."""
