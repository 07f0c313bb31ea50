"""Making a key."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from common.ids import new_id
from subscriptions.db import copies, keys
from subscriptions.domain.api_key import ApiKey, Mode, Secret, make_secret
from subscriptions.domain.errors import SubscriptionNotLive, UnknownScope
from subscriptions.domain.rotation import check_room, checked_expiry
from subscriptions.domain.shares import allowed_by, check_share
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
    rate_limits: dict[str, int | None] | None = None
    share_id: UUID | None = None


async def issue_key(
    session: AsyncSession,
    subscription: Subscription,
    wanted: KeyRequest,
    *,
    random_bytes: bytes,
    now: datetime,
) -> tuple[ApiKey, Secret]:
    """The subscription, which the caller has locked, has one more key. The secret exists in this answer only.

    With `wanted.share_id` it goes on with another's share and scopes; else the API must know `wanted.scopes`, and its
    share must fit beside the others.
    """
    if subscription.status not in STARTED:
        raise SubscriptionNotLive(subscription.status)
    checked_expiry(wanted.expires_at, now=now)
    check_room(await keys.count_usable(session, subscription.id))
    restricted = bool(wanted.rate_limits or wanted.scopes)
    if restricted and wanted.share_id is None:
        await _check_restriction(session, subscription, wanted)
    key_id = new_id()
    secret = make_secret(wanted.mode, random_bytes=random_bytes)
    key = ApiKey(
        id=key_id,
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
        rate_limits=wanted.rate_limits,
        share_id=wanted.share_id or (key_id if restricted else None),
    )
    await keys.insert_key(session, key)
    await outbox.publish(session, KeyChanged.of(key), now=now)
    KEYS_ISSUED.labels(wanted.mode.value).inc()
    return key, secret


async def _check_restriction(session: AsyncSession, subscription: Subscription, wanted: KeyRequest) -> None:
    if wanted.scopes:
        known = await copies.known_scopes(session, subscription.api_id)
        if unknown := set(wanted.scopes) - known:
            raise UnknownScope(unknown, known)
    others = await keys.list_with_share(session, subscription.id)
    check_share(wanted.rate_limits, mode=wanted.mode, allowed=allowed_by(subscription), keys=others)
