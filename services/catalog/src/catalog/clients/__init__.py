"""Foreign systems: the catalogue calls none."""
