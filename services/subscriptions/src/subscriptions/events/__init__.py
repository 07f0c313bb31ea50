"""The events that subscriptions publish."""
