"""A webhook, stored before anything else."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import webhooks
from billing.db.webhooks import WebhookEvent
from billing.metrics import WEBHOOKS


async def receive_webhook(session: AsyncSession, event: WebhookEvent, *, now: datetime) -> bool:
    """The event waits for the worker; False when it was there before, and then nothing changes."""
    new = await webhooks.insert_if_absent(session, event, now=now)
    WEBHOOKS.labels("stored" if new else "repeated").inc()
    return new
