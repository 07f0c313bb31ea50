from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from accounts.domain.notification import MOST_ATTEMPTS, Alert, gives_up, message_of, next_attempt

NOON = datetime(2026, 11, 15, 12, tzinfo=UTC)


def an_alert(**overrides: Any) -> Alert:
    values: dict[str, Any] = {
        "rule_id": UUID(int=1), "name": "Errors", "kind": "error_rate", "subscription_id": UUID(int=2), "api_id": None,
        "state": "firing", "threshold": Decimal(10), "value": Decimal("12.500"), "unit": "percent", "period": "hour",
        "period_start": NOON, "at": NOON,
    }  # fmt: skip
    return Alert(**values | overrides)


def test_a_message_says_what_was_crossed_and_where_to_change_that() -> None:
    message = message_of(an_alert(), organisation="acme")
    assert message.subject == "[Alert] Errors (acme)"
    for line in (
        "Threshold:  10 percent",
        "Value:      12.5 percent",
        f"error rate of subscription {UUID(int=2)}",
    ):
        assert line in message.body
    money = message_of(an_alert(unit="EUR", value=Decimal(7000)), organisation="acme")
    assert "Value:      7000 minor units of EUR" in money.body


@pytest.mark.parametrize(("state", "words"), [("resolved", "[Resolved]"), ("test", "[Test of an alert]")])
def test_each_state_is_told_apart_and_a_test_says_that_it_is_one(state: str, words: str) -> None:
    message = message_of(an_alert(state=state, value=None), organisation="acme")
    assert message.subject.startswith(words)
    assert ("Nothing has happened" in message.body) == (state == "test")
    assert "Value:" not in message.body


def test_a_name_makes_no_further_header() -> None:
    assert "\n" not in message_of(an_alert(name="x\r\nBcc: all@example.test"), organisation="acme").subject


def test_waits_grow_to_an_hour_and_end_after_a_day() -> None:
    waits = [next_attempt(n, jitter=0, now=NOON) - NOON for n in range(1, 8)]
    assert [w.total_seconds() for w in waits] == [5, 20, 80, 320, 1280, 3600, 3600]
    assert next_attempt(1, jitter=0.5, now=NOON) == NOON + timedelta(seconds=6.25)
    assert next_attempt(10_000, jitter=0, now=NOON) == NOON + timedelta(hours=1)
    assert not gives_up(3, created_at=NOON, now=NOON + timedelta(hours=23))
    assert gives_up(3, created_at=NOON, now=NOON + timedelta(hours=24))
    assert gives_up(MOST_ATTEMPTS, created_at=NOON, now=NOON)
