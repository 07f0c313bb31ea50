"""Ending keys whose time has come."""

from datetime import datetime

from common import outbox
from common.db import Database
from subscriptions.db import keys
from subscriptions.domain.rotation import expired
from subscriptions.events.key_changed import KeyChanged
from subscriptions.metrics import KEYS_ENDED

_BATCH = 200


async def expire_keys(db: Database, *, now: datetime) -> int:
    """No usable key is past its expiry. Returns how many were ended. The gateway stops them at the second itself."""
    ended = 0
    while True:
        async with db.begin() as session:
            batch = await keys.claim_over(session, now=now, limit=_BATCH)
            for key in batch:
                changed = expired(key, now=now)
                await keys.update_key(session, changed)
                await outbox.publish(session, KeyChanged.of(changed), now=now)
        KEYS_ENDED.labels("expired").inc(len(batch))
        ended += len(batch)
        if len(batch) < _BATCH:
            return ended
