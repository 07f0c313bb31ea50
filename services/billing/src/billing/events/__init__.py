"""One file per event that billing publishes."""
