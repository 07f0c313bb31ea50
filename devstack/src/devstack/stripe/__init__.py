"""A Stripe double: stateful, strict about the wire, with a journal of every amount that moved."""
