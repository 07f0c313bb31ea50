"""One file per event that billing reads."""
