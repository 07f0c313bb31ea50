"""SQL stops here."""
