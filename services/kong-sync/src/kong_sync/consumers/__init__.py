"""One file per event that we read: our narrow model of it and its handler."""
