"""Foreign systems: the Admin API and the proxy of Kong."""
