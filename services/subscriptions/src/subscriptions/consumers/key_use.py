"""metering.key.v1: when a key was last used. Shown only."""

from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from subscriptions.db import copies


class KeyUseEvent(Incoming, topic="metering.key.v1"):
    """The fields that subscriptions read."""

    key_id: UUID
    organisation_id: UUID
    last_used_at: AwareDatetime


async def on_key_use(session: AsyncSession, event: KeyUseEvent, *, now: datetime) -> None:  # noqa: ARG001
    """What is shown of the key's last use is this, unless something newer is known."""
    fields = {"key_id", "version", "organisation_id", "last_used_at"}
    await copies.put_key_use(session, event.model_dump(include=fields))
