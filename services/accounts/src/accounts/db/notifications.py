"""Queries on messages to people. Their addresses are looked up when a message is sent, and stored with none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.notification import Message, Outcome

# Owners and admins, unless they said otherwise; others, when they said so. Only to an address that is proved theirs.
_WANTING = text("""
    SELECT m.user_id FROM membership AS m JOIN platform_user AS u ON u.id = m.user_id
        LEFT JOIN notification_preference AS p ON p.organisation_id = m.organisation_id AND p.user_id = m.user_id
    WHERE m.organisation_id = :organisation_id AND u.email IS NOT NULL AND u.email_verified
        AND coalesce(p.alerts, m.role IN ('owner', 'admin'))
    ORDER BY m.user_id""")
_ADD = text("""
    INSERT INTO notification (id, organisation_id, user_id, subject, body, status, attempts, created_at, due_at)
    VALUES (:id, :organisation_id, :user_id, :subject, :body, 'pending', 0, :now, :now)
    ON CONFLICT (id) DO NOTHING RETURNING id""")
_CLAIM = text("""
    UPDATE notification AS n SET attempts = n.attempts + 1, due_at = :leased_until
    FROM (SELECT id FROM notification WHERE due_at <= :now ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS due
    WHERE n.id = due.id
    RETURNING n.id, n.subject, n.body, n.attempts, n.created_at, (
        SELECT u.email FROM platform_user AS u JOIN membership AS m ON m.user_id = u.id
        WHERE u.id = n.user_id AND m.organisation_id = n.organisation_id AND u.email_verified) AS address""")
_RETRY = text("UPDATE notification SET due_at = :due_at WHERE id = :id AND status = 'pending'")
_END = text("UPDATE notification SET status = :status, due_at = NULL, ended_at = :now WHERE id = :id")
_PREFERENCE = text("""
    SELECT alerts FROM notification_preference WHERE organisation_id = :organisation_id AND user_id = :user_id""")
_PREFER = text("""
    INSERT INTO notification_preference AS t (organisation_id, user_id, alerts, updated_at)
    VALUES (:organisation_id, :user_id, :alerts, :now)
    ON CONFLICT (organisation_id, user_id) DO UPDATE SET alerts = excluded.alerts, updated_at = excluded.updated_at""")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message to be sent now; `address` is None when it is for nobody any more."""

    id: UUID
    subject: str
    body: str
    attempts: int
    created_at: datetime
    address: str | None


async def wanting_alerts(session: AsyncSession, organisation_id: UUID) -> Sequence[UUID]:
    """The members who are told of the organisation's alerts."""
    return (await session.scalars(_WANTING, {"organisation_id": organisation_id})).all()


async def add(
    session: AsyncSession, notification_id: UUID, message: Message, *, organisation_id: UUID, user_id: UUID,
    now: datetime,
) -> bool:  # fmt: skip
    """The message waits to be sent; False, and nothing is written, when it was there already."""
    values = {
        "id": notification_id, "organisation_id": organisation_id, "user_id": user_id, "subject": message.subject,
        "body": message.body, "now": now,
    }  # fmt: skip
    return (await session.execute(_ADD, values)).first() is not None


async def claim(session: AsyncSession, *, now: datetime, leased_until: datetime) -> Claimed | None:
    """The message that waits longest, ours until `leased_until`; None when none is due."""
    row = (await session.execute(_CLAIM, {"now": now, "leased_until": leased_until})).mappings().first()
    return None if row is None else Claimed(**row)


async def try_again(session: AsyncSession, notification_id: UUID, *, due_at: datetime) -> None:
    """The message waits until `due_at`."""
    await session.execute(_RETRY, {"id": notification_id, "due_at": due_at})


async def end(session: AsyncSession, notification_id: UUID, outcome: Outcome, *, now: datetime) -> None:
    """Nothing more is done about the message."""
    await session.execute(_END, {"id": notification_id, "status": outcome, "now": now})


async def preference(session: AsyncSession, *, organisation_id: UUID, user_id: UUID) -> bool | None:
    """What the person said about alerts of the organisation; None when they said nothing."""
    values = {"organisation_id": organisation_id, "user_id": user_id}
    said: bool | None = await session.scalar(_PREFERENCE, values)
    return said


async def prefer(
    session: AsyncSession, *, organisation_id: UUID, user_id: UUID, alerts: bool, now: datetime
) -> None:
    """What the person says about alerts of the organisation."""
    values = {"organisation_id": organisation_id, "user_id": user_id, "alerts": alerts, "now": now}
    await session.execute(_PREFER, values)
