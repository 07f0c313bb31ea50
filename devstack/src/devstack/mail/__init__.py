"""A mail server for development: takes every message, keeps it, shows it. It sends nothing on."""
