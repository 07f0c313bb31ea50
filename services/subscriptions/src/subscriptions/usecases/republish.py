"""Publishing everything again."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from subscriptions.db import keys, subscriptions
from subscriptions.events.key_changed import KeyChanged
from subscriptions.events.subscription_changed import SubscriptionChanged

_BATCH = 500


async def republish(session: AsyncSession, now: datetime) -> int:
    """Every subscription and key is in the outbox as it now stands, same version, same event id."""
    sent = 0
    after: UUID | None = None
    while batch := await subscriptions.all_after(session, after, limit=_BATCH):
        for subscription in batch:
            await outbox.publish(session, SubscriptionChanged.of(subscription), now=now)
        sent, after = sent + len(batch), batch[-1].id
    after = None
    while some := await keys.all_after(session, after, limit=_BATCH):
        for key in some:
            await outbox.publish(session, KeyChanged.of(key), now=now)
        sent, after = sent + len(some), some[-1].id
    return sent
