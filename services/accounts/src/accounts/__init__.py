"""Users, organisations, memberships and the platform's tokens."""
