"""Fresh ids."""

import uuid


def new_id() -> str:
    """A random UUID, as Kong gives its entities."""
    return str(uuid.uuid4())
