"""Make a personal access token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.db import access_tokens, audit, proofs
from accounts.domain import access_token
from accounts.domain.access_token import AccessToken
from accounts.domain.audit import AuditEntry
from accounts.metrics import AUDIT_ENTRIES
from common.ids import new_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.audit import Actor


async def make_access_token(
    session: AsyncSession,
    *,
    actor: Actor,
    organisation_id: UUID,
    name: str,
    expires_at: datetime,
    secret: bytes,
    now: datetime,
) -> tuple[AccessToken, str]:
    """The stored token and, this once, its text; `secret` is 32 random bytes."""
    text = access_token.write(secret)
    made = AccessToken(
        id=new_id(), user_id=actor.user_id, organisation_id=organisation_id, name=name,
        prefix=access_token.shown_prefix(text), sha256=access_token.digest(text),
        expires_at=access_token.check_expiry(expires_at, now=now), created_at=now, last_used_at=None, revoked_at=None,
    )  # fmt: skip
    await proofs.user(session, actor.user_id)
    await access_tokens.add(session, made)
    entry = AuditEntry(
        id=new_id(), at=now, actor=actor, organisation_id=organisation_id, action="access_token.made",
        target_id=made.id, after={"prefix": made.prefix, "expires_at": expires_at.isoformat()},
    )  # fmt: skip
    await audit.add(session, entry)
    AUDIT_ENTRIES.labels(entry.action).inc()
    return made, text
