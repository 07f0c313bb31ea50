import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.domain.errors import ApiDeprecated, InvalidTransition, PaymentPastDue, PlanNotFound
from subscriptions.domain.lifecycle import TRANSITIONS, Action, move, start
from subscriptions.domain.subscription import LIVE, ApiCopy, Phase, PlanCopy, Standing, Status, Subscription
from tests.subscriptions.factories import (
    GLOBEX,
    PLAN,
    PLAN_VERSION,
    SUBSCRIPTION,
    a_plan,
    a_subscription,
    an_api,
    some_terms,
)
from tests.support.clock import NOON

LATER = NOON + timedelta(days=3)


def started(plan: PlanCopy | None = None, api: ApiCopy | None = None, **overrides: Any) -> Subscription:
    values: dict[str, Any] = {
        "subscription_id": SUBSCRIPTION, "organisation_id": GLOBEX, "plan_id": PLAN, "standing": Standing.GOOD,
        "now": NOON,
    }  # fmt: skip
    return start(plan or a_plan(), api or an_api(), **values | overrides)


def moved(subscription: Subscription, action: Action, **overrides: Any) -> Subscription:
    values: dict[str, Any] = {"standing": Standing.GOOD, "now": LATER}
    return move(subscription, action, **values | overrides)


def test_a_subscription_is_active_at_once_and_its_first_phase_begins() -> None:
    subscription = started()
    assert (subscription.status, subscription.started_at, subscription.version) == (Status.ACTIVE, NOON, 1)
    assert subscription.phases == (Phase(PLAN_VERSION, since=NOON, until=None, terms=some_terms()),)


def test_a_plan_that_requires_approval_waits_and_no_phase_begins() -> None:
    subscription = started(a_plan(requires_approval=True))
    assert (subscription.status, subscription.started_at) == (Status.PENDING_APPROVAL, None)
    assert subscription.phases == ()


def test_the_terms_are_those_of_the_moment_of_subscribing_even_when_approval_comes_later() -> None:
    waiting = started(a_plan(requires_approval=True, terms=some_terms(fixed_fee=100)))
    approved = moved(waiting, Action.APPROVE)
    assert approved.status is Status.ACTIVE
    assert approved.phases[0].terms["fixed_fee"] == 100
    assert approved.phases[0].since == approved.started_at == LATER


@pytest.mark.parametrize(
    ("plan", "api"),
    [
        (None, None),
        (a_plan(), None),
        (a_plan(status="archived"), an_api()),
        *[
            (a_plan(), an_api(status=status))
            for status in ("draft", "pending_review", "rejected", "suspended", "retired")
        ],
    ],
)
def test_what_is_not_on_sale_is_not_found_and_the_answer_says_that_events_may_lag(
    plan: PlanCopy | None, api: ApiCopy | None
) -> None:
    with pytest.raises(PlanNotFound, match="moment ago"):
        start(
            plan, api, subscription_id=SUBSCRIPTION, organisation_id=GLOBEX, plan_id=PLAN,
            standing=Standing.GOOD, now=NOON,
        )  # fmt: skip


def test_a_deprecated_api_takes_no_new_subscriptions() -> None:
    with pytest.raises(ApiDeprecated):
        started(api=an_api(status="deprecated"))


def test_nobody_subscribes_with_an_overdue_invoice() -> None:
    with pytest.raises(PaymentPastDue):
        started(standing=Standing.PAST_DUE)


def test_pausing_and_resuming_keeps_the_phase() -> None:
    paused = moved(a_subscription(), Action.PAUSE, reason="holiday")
    assert (paused.status, paused.reason, paused.version) == (Status.PAUSED, "holiday", 2)
    resumed = moved(paused, Action.RESUME)
    assert (resumed.status, resumed.reason, resumed.version) == (Status.ACTIVE, None, 3)
    assert resumed.phases == a_subscription().phases


def test_canceling_ends_the_last_phase_now() -> None:
    canceled = moved(a_subscription(), Action.CANCEL)
    assert (canceled.status, canceled.canceled_at) == (Status.CANCELED, LATER)
    assert [phase.until for phase in canceled.phases] == [LATER]


def test_canceling_leaves_phases_that_ended_before() -> None:
    old = Phase(UUID(int=1), since=NOON - timedelta(days=9), until=NOON, terms={})
    subscription = a_subscription(phases=(old, *a_subscription().phases))
    assert moved(subscription, Action.CANCEL).phases[0] == old


def test_canceling_before_approval_bills_nothing() -> None:
    canceled = moved(started(a_plan(requires_approval=True)), Action.CANCEL)
    assert (canceled.status, canceled.phases, canceled.started_at) == (Status.CANCELED, (), None)


def test_an_overdue_payment_stops_and_a_payment_restores() -> None:
    stopped = moved(a_subscription(), Action.FALL_DUE, standing=Standing.PAST_DUE)
    assert (stopped.status, stopped.reason) == (Status.PAST_DUE, "payment_past_due")
    restored = moved(stopped, Action.RECOVER)
    assert (restored.status, restored.reason) == (Status.ACTIVE, None)


def test_what_is_paused_is_not_resumed_with_an_overdue_invoice() -> None:
    with pytest.raises(PaymentPastDue):
        moved(a_subscription(status=Status.PAUSED), Action.RESUME, standing=Standing.PAST_DUE)


def test_approved_with_an_overdue_invoice_begins_and_waits_for_the_payment() -> None:
    approved = moved(started(a_plan(requires_approval=True)), Action.APPROVE, standing=Standing.PAST_DUE)
    assert (approved.status, approved.started_at, approved.version) == (Status.PAST_DUE, LATER, 2)
    assert approved.reason == "payment_past_due"


def test_repeating_an_action_changes_nothing_at_all() -> None:
    paused = moved(a_subscription(), Action.PAUSE)
    assert moved(paused, Action.PAUSE) is paused
    canceled = moved(paused, Action.CANCEL)
    assert moved(canceled, Action.CANCEL, now=LATER + timedelta(days=1)) is canceled


def test_only_the_transitions_of_the_table_are_possible() -> None:
    for status, action in itertools.product(Status, Action):
        subscription = a_subscription(status=status)
        if (status, action) in TRANSITIONS:
            moved(subscription, action)
        else:
            with pytest.raises(InvalidTransition):
                moved(subscription, action)


def test_nothing_that_is_over_lives_again() -> None:
    over = set(Status) - LIVE
    assert not {after for (before, _), after in TRANSITIONS.items() if before in over} & LIVE


@given(st.lists(st.sampled_from(Action), max_size=12), st.booleans(), st.booleans())
def test_laws_of_every_history(actions: list[Action], approval: bool, past_due: bool) -> None:
    subscription = started(a_plan(requires_approval=approval))
    standing = Standing.PAST_DUE if past_due else Standing.GOOD
    for step, action in enumerate(actions, start=1):
        before, now = subscription, NOON + timedelta(hours=step)
        try:
            subscription = move(subscription, action, standing=standing, now=now)
        except (InvalidTransition, PaymentPastDue):
            continue
        assert subscription.version == before.version + (subscription is not before)
        assert replace(subscription, version=before.version) != before or subscription is before
    begun = subscription.started_at is not None
    assert len(subscription.phases) == begun
    if begun:
        ended = subscription.status is Status.CANCELED
        assert (subscription.phases[-1].until is not None) is ended
        assert subscription.phases[0].since == subscription.started_at
