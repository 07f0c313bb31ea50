"""Making a key."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from common.ids import new_id
from subscriptions.db import keys
from subscriptions.domain.api_key import ApiKey, Mode, Secret, make_secret
from subscriptions.domain.errors import SubscriptionNotLive
from subscriptions.domain.rotation import check_room, checked_expiry
from subscriptions.domain.subscription import STARTED, Subscription
from subscriptions.events.key_changed import KeyChanged
from subscriptions.metrics import KEYS_ISSUED


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a key shall be."""

    name: str
    mode: Mode = Mode.LIVE
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()


async def issue_key(
    session: AsyncSession,
    subscription: Subscription,
    wanted: KeyRequest,
    *,
    random_bytes: bytes,
    now: datetime,
) -> tuple[ApiKey, Secret]:
    """The subscription, which the caller has locked, has one more key. The secret exists in this answer only."""
    if subscription.status not in STARTED:
        raise SubscriptionNotLive(subscription.status)
    checked_expiry(wanted.expires_at, now=now)
    check_room(await keys.count_usable(session, subscription.id))
    secret = make_secret(wanted.mode, random_bytes=random_bytes)
    key = ApiKey(
        id=new_id(),
        version=1,
        subscription_id=subscription.id,
        organisation_id=subscription.organisation_id,
        api_id=subscription.api_id,
        name=wanted.name,
        prefix=secret.prefix,
        sha256=secret.sha256,
        created_at=now,
        mode=wanted.mode,
        expires_at=wanted.expires_at,
        scopes=wanted.scopes,
    )
    await keys.insert_key(session, key)
    await outbox.publish(session, KeyChanged.of(key), now=now)
    KEYS_ISSUED.labels(wanted.mode.value).inc()
    return key, secret
