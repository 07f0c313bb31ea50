"""What accounts does, one verb per file."""
