"""Who acts, for the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.domain.audit import Actor, network_of

if TYPE_CHECKING:
    from uuid import UUID

    from fastapi import Request


def actor_of(request: Request, user_id: UUID) -> Actor:
    """The caller, with the network they call from."""
    return Actor(user_id=user_id, network=network_of(request.client.host if request.client else None))
