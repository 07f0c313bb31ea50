"""May a subscription call, and until when does the answer hold."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.limits import Limits
from kong_sync.domain.standing import (
    REMEMBERED,
    Stop,
    is_known,
    limits_of,
    next_deadlines,
    phase_in_force,
    stop_of,
)
from tests.kong_sync.factories import (
    NOW,
    a_key,
    a_phase,
    a_quota,
    a_subscription,
    a_version,
    an_id,
    some_tables,
)

LATER = timedelta(hours=1)
SUBSCRIPTION = Owner(Concern.SUBSCRIPTION, an_id("subscription"))


@pytest.mark.parametrize("status", ["paused", "past_due", "canceled"])
def test_a_stopped_subscription_says_why(status: str) -> None:
    assert stop_of(a_subscription(status=status), [], now=NOW) == Stop(status)


def test_an_active_subscription_may_call() -> None:
    assert stop_of(a_subscription(), [a_quota()], now=NOW) is None


def test_a_reached_quota_stops_until_its_period_ends() -> None:
    reached = a_quota(state="reached")
    assert stop_of(a_subscription(), [reached], now=NOW) == Stop("quota", reached.until)
    assert stop_of(a_subscription(), [reached], now=reached.until) is None


def test_being_paused_says_more_than_a_reached_quota() -> None:
    assert stop_of(a_subscription(status="paused"), [a_quota(state="reached")], now=NOW) == Stop("paused")


@pytest.mark.parametrize(
    ("status", "known"), [("pending_approval", False), ("rejected", False), ("active", True)]
)
def test_only_an_approved_subscription_is_known_to_the_gateway(status: str, known: bool) -> None:
    assert is_known(a_subscription(status=status), now=NOW) is known


def test_a_canceled_subscription_is_forgotten_in_time() -> None:
    canceled = a_subscription(status="canceled", canceled_at=NOW)
    assert is_known(canceled, now=NOW)
    assert not is_known(canceled, now=NOW + REMEMBERED)


def test_the_phase_that_has_begun_last_is_in_force() -> None:
    first = a_phase(until=NOW + LATER)
    second = a_phase(plan_version_id="next", since=NOW + LATER, limits=Limits(minute=5))
    subscription = a_subscription(phases=(first, second))
    assert phase_in_force(subscription, now=NOW) == first
    assert phase_in_force(subscription, now=NOW + LATER) == second
    assert limits_of(subscription, now=NOW + LATER) == Limits(minute=5)


def test_a_phase_that_begins_on_a_clock_ahead_of_ours_is_in_force_already() -> None:
    only = a_phase(since=NOW + timedelta(milliseconds=50))
    assert phase_in_force(a_subscription(phases=(only,)), now=NOW) == only


def test_the_next_deadline_of_each_owner_is_the_earliest_one_ahead() -> None:
    tables = some_tables(
        quotas=[a_quota(state="reached"), a_quota(period="2026-10", state="reached", until=NOW - LATER)],
        subscriptions=[
            a_subscription(phases=(a_phase(), a_phase(since=NOW + LATER))),
            a_subscription(id="quiet"),
        ],
        keys=[a_key(status="revoked")],
    )
    assert next_deadlines(tables, now=NOW) == {SUBSCRIPTION: NOW + LATER}
    assert next_deadlines(some_tables(), now=NOW) == {}


def test_a_version_that_is_switched_off_is_a_deadline_of_its_api() -> None:
    tables = some_tables(versions=[a_version(state="deprecated", sunset_at=NOW + LATER)])
    assert next_deadlines(tables, now=NOW) == {Owner(Concern.API, an_id("api")): NOW + LATER}
    assert next_deadlines(tables, now=NOW + LATER) == {}
