"""Foreign systems: subscriptions call none."""
