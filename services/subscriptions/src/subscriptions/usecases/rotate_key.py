"""Replacing a key by a new one."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from subscriptions.db import keys
from subscriptions.domain.api_key import ApiKey, Secret
from subscriptions.domain.rotation import retire_for
from subscriptions.domain.subscription import Subscription
from subscriptions.events.key_changed import KeyChanged
from subscriptions.metrics import KEYS_ENDED
from subscriptions.usecases.issue_key import KeyRequest, issue_key


async def rotate_key(
    session: AsyncSession, subscription: Subscription, old: ApiKey, *, grace: timedelta, random_bytes: bytes,
    now: datetime,
) -> tuple[ApiKey, Secret, ApiKey]:  # fmt: skip
    """(new key, its secret, old key): both work until the grace time ends. The caller has locked both rows.

    The new key inherits name, mode, scopes, share and expiry: a rotation makes nothing last longer or allow more.
    """
    retire_for(
        old, old, grace=grace, now=now
    )  # refuses first: nothing is made for a key that cannot be rotated
    wanted = KeyRequest(old.name, old.mode, old.expires_at, old.scopes, old.rate_limits, old.share_id)
    new, secret = await issue_key(session, subscription, wanted, random_bytes=random_bytes, now=now)
    retired = retire_for(old, new, grace=grace, now=now)
    await keys.update_key(session, retired)
    await outbox.publish(session, KeyChanged.of(retired), now=now)
    KEYS_ENDED.labels("rotated").inc()
    return new, secret, retired
