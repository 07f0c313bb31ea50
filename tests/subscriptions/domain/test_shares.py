"""What a restricted key may be given."""

from dataclasses import replace

import pytest

from common.ids import derived_id
from subscriptions.domain.api_key import ApiKey, KeyStatus, Mode
from subscriptions.domain.errors import BadShare
from subscriptions.domain.shares import check_share
from tests.support.clock import NOON

ALLOWED = {"minute": 100, "day": 1_000}


def a_key(
    name: str, minute: int, *, share: str | None = None, status: KeyStatus = KeyStatus.ACTIVE
) -> ApiKey:
    return ApiKey(
        id=derived_id(name), version=1, subscription_id=derived_id("s"), organisation_id=derived_id("o"),
        api_id=derived_id("a"), name=name, prefix="mk_live_0000", sha256="0" * 64, created_at=NOON, status=status,
        rate_limits={"second": None, "minute": minute, "hour": None, "day": 10}, share_id=derived_id(share or name),
    )  # fmt: skip


def test_a_share_fits_while_something_is_left_for_the_others() -> None:
    keys = [
        a_key("one", 60),
        a_key("its successor", 60, share="one"),
        a_key("dead", 90, status=KeyStatus.REVOKED),
    ]
    check_share({"minute": 39, "day": 10}, mode=Mode.LIVE, allowed=ALLOWED, keys=keys)
    with pytest.raises(BadShare, match="at most 39") as refused:
        check_share({"minute": 40, "day": 10}, mode=Mode.LIVE, allowed=ALLOWED, keys=keys)
    assert refused.value.field == "rate_limits.minute"


def test_every_window_that_the_subscription_limits_is_named() -> None:
    with pytest.raises(BadShare, match="limited by day"):
        check_share({"minute": 1}, mode=Mode.LIVE, allowed=ALLOWED, keys=[])
    check_share({"second": 1}, mode=Mode.LIVE, allowed={}, keys=[])


def test_a_test_key_has_no_share() -> None:
    with pytest.raises(BadShare, match="Test keys"):
        check_share({"minute": 1, "day": 1}, mode=Mode.TEST, allowed=ALLOWED, keys=[])


def test_a_used_up_limit_gives_no_share() -> None:
    with pytest.raises(BadShare, match="at most 0"):
        check_share(
            {"minute": 1}, mode=Mode.LIVE, allowed={"minute": 1}, keys=[replace(a_key("x", 1), share_id=None)]
        )


def test_a_key_without_limits_gets_an_equal_part_while_there_is_one() -> None:
    scoped = [replace(a_key(name, 0), rate_limits=None) for name in ("one", "two")]
    check_share(None, mode=Mode.LIVE, allowed={"minute": 4}, keys=scoped)
    with pytest.raises(BadShare, match="too few for 4 equal parts"):
        check_share(None, mode=Mode.LIVE, allowed={"minute": 3}, keys=scoped)
    with pytest.raises(BadShare, match="at most 97"):
        check_share({"minute": 98}, mode=Mode.LIVE, allowed={"minute": 100}, keys=scoped)
    check_share(None, mode=Mode.LIVE, allowed={}, keys=scoped)
    check_share(None, mode=Mode.TEST, allowed={"minute": 1}, keys=[])
