from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from subscriptions.domain.api_key import KeyStatus
from subscriptions.domain.errors import BadExpiry, KeyNotActive, TooManyKeys
from subscriptions.domain.rotation import check_room, checked_expiry, expired, is_over, retire_for, revoked
from tests.subscriptions.factories import a_key
from tests.support.clock import NOON

DAY = timedelta(days=1)
NEW = a_key(id=UUID(int=2))


def test_the_old_key_works_until_the_grace_time_ends() -> None:
    old = retire_for(a_key(), NEW, grace=DAY, now=NOON)
    assert (old.status, old.expires_at, old.replaced_by, old.version) == (
        KeyStatus.EXPIRING, NOON + DAY, NEW.id, 2,
    )  # fmt: skip


def test_without_grace_the_old_key_is_over_at_once() -> None:
    old = retire_for(a_key(), NEW, grace=timedelta(0), now=NOON)
    assert (old.status, old.expires_at) == (KeyStatus.EXPIRED, NOON)


def test_a_rotation_never_lets_the_old_key_outlive_its_own_expiry() -> None:
    old = retire_for(a_key(expires_at=NOON + timedelta(hours=1)), NEW, grace=DAY, now=NOON)
    assert old.expires_at == NOON + timedelta(hours=1)


@pytest.mark.parametrize("status", [KeyStatus.EXPIRING, KeyStatus.EXPIRED, KeyStatus.REVOKED])
def test_only_an_active_key_is_rotated(status: KeyStatus) -> None:
    with pytest.raises(KeyNotActive, match=status):
        retire_for(a_key(status=status), NEW, grace=DAY, now=NOON)


def test_a_key_past_its_expiry_is_not_rotated_even_before_anybody_marked_it() -> None:
    with pytest.raises(KeyNotActive, match="expired"):
        retire_for(a_key(expires_at=NOON), NEW, grace=DAY, now=NOON)


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=30, seconds=1)])
def test_the_grace_time_has_bounds(grace: timedelta) -> None:
    with pytest.raises(BadExpiry):
        retire_for(a_key(), NEW, grace=grace, now=NOON)


def test_revoking_ends_a_usable_key_once() -> None:
    key = revoked(a_key(), now=NOON)
    assert (key.status, key.revoked_at, key.version) == (KeyStatus.REVOKED, NOON, 2)
    assert revoked(key, now=NOON + DAY) is key


def test_a_key_in_its_grace_time_can_be_revoked() -> None:
    assert revoked(a_key(status=KeyStatus.EXPIRING), now=NOON).status is KeyStatus.REVOKED


def test_an_expired_key_stays_expired() -> None:
    key = a_key(status=KeyStatus.EXPIRED)
    assert revoked(key, now=NOON) is key


@pytest.mark.parametrize(
    ("expires_at", "over"), [(None, False), (NOON + DAY, False), (NOON, True), (NOON - DAY, True)]
)
def test_a_key_is_over_at_its_expiry_not_after_it(expires_at: datetime | None, over: bool) -> None:
    key = a_key(expires_at=expires_at)
    assert is_over(key, now=NOON) is over
    after = expired(key, now=NOON)
    assert after == (replace(key, status=KeyStatus.EXPIRED, version=2) if over else key)


def test_a_revoked_key_does_not_turn_expired() -> None:
    key = a_key(status=KeyStatus.REVOKED, expires_at=NOON - DAY)
    assert expired(key, now=NOON) is key


def test_a_new_key_s_expiry_lies_ahead() -> None:
    assert checked_expiry(None, now=NOON) is None
    assert checked_expiry(NOON + DAY, now=NOON) == NOON + DAY
    with pytest.raises(BadExpiry):
        checked_expiry(NOON, now=NOON)


def test_a_subscription_has_room_for_twenty_usable_keys() -> None:
    check_room(19)
    with pytest.raises(TooManyKeys):
        check_room(20)
