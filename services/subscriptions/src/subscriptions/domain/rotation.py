"""Replacing, ending and revoking keys."""

from dataclasses import replace
from datetime import datetime, timedelta

from subscriptions.domain.api_key import USABLE, ApiKey, KeyStatus
from subscriptions.domain.errors import BadExpiry, KeyNotActive, TooManyKeys

MAX_GRACE = timedelta(days=30)
MAX_USABLE_KEYS = 20


def retire_for(old: ApiKey, successor: ApiKey, *, grace: timedelta, now: datetime) -> ApiKey:
    """The old key after its successor was made: good until the grace time ends, never past its own expiry."""
    if old.status is not KeyStatus.ACTIVE or is_over(old, now=now):
        raise KeyNotActive(KeyStatus.EXPIRED if old.status is KeyStatus.ACTIVE else old.status)
    if not timedelta(0) <= grace <= MAX_GRACE:
        raise BadExpiry("The grace time lies between 0 and 30 days.", field="grace_seconds")
    end = now + grace if old.expires_at is None else min(old.expires_at, now + grace)
    status = KeyStatus.EXPIRING if end > now else KeyStatus.EXPIRED
    return replace(old, status=status, expires_at=end, replaced_by=successor.id, version=old.version + 1)


def revoked(key: ApiKey, *, now: datetime) -> ApiKey:
    """The key, of no use any more. Revoking what is over already changes nothing."""
    if key.status not in USABLE:
        return key
    return replace(key, status=KeyStatus.REVOKED, revoked_at=now, version=key.version + 1)


def expired(key: ApiKey, *, now: datetime) -> ApiKey:
    """The key as it stands at `now`: expired once its time has come."""
    if not is_over(key, now=now):
        return key
    return replace(key, status=KeyStatus.EXPIRED, version=key.version + 1)


def is_over(key: ApiKey, *, now: datetime) -> bool:
    """A usable key whose expiry has come; `expires_at` itself is already too late."""
    return key.status in USABLE and key.expires_at is not None and key.expires_at <= now


def checked_expiry(expires_at: datetime | None, *, now: datetime) -> datetime | None:
    """The expiry itself, when it lies ahead."""
    if expires_at is not None and expires_at <= now:
        raise BadExpiry("A new key's expiry lies in the future.", field="expires_at")
    return expires_at


def check_room(usable_keys: int) -> None:
    """One more key still fits."""
    if usable_keys >= MAX_USABLE_KEYS:
        raise TooManyKeys(MAX_USABLE_KEYS)
