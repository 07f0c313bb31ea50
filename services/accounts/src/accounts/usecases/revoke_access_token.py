"""Revoke a personal access token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.db import access_tokens, audit, proofs
from accounts.domain.audit import AuditEntry
from accounts.domain.errors import AccessTokenNotFound
from accounts.metrics import AUDIT_ENTRIES
from common.ids import new_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.audit import Actor


async def revoke_access_token(
    session: AsyncSession, token_id: UUID, *, actor: Actor, organisation_id: UUID, now: datetime
) -> None:
    """The actor's token is exchanged no more; platform tokens made from it run out by themselves."""
    await proofs.user(session, actor.user_id)
    revoked = await access_tokens.revoke(session, token_id, user_id=actor.user_id, now=now)
    if revoked is None:
        raise AccessTokenNotFound
    entry = AuditEntry(
        id=new_id(), at=now, actor=actor, organisation_id=organisation_id, action="access_token.revoked",
        target_id=token_id, before={"prefix": revoked.prefix},
    )  # fmt: skip
    await audit.add(session, entry)
    AUDIT_ENTRIES.labels(entry.action).inc()
