"""One file per event that we publish."""
