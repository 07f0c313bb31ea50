from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from billing.consumers.organisation import OrganisationEvent, on_organisation
from billing.consumers.period import PeriodEvent
from billing.consumers.subscription import SubscriptionEvent, on_subscription
from billing.consumers.usage import UsageEvent, on_usage
from billing.events.account_changed import AccountChanged
from billing.events.cutoff_requested import CutoffRequested
from billing.events.invoice_changed import InvoiceChanged
from billing.events.spend_changed import SpendChanged
from billing.events.standing_changed import StandingChanged
from billing.usecases.ensure_customer import ensure_customer
from billing.usecases.republish import republish
from common.events import Event
from common.kafka.dead_letters import PoisonMessage
from tests.billing.factories import API, CONSUMER, PLAN, PROVIDER, SUBSCRIPTION, an_id, terms_json
from tests.billing.scenario import Scenario
from tests.support.outbox import outbox_events

EVENTS: list[type[Event]] = [AccountChanged, CutoffRequested, InvoiceChanged, SpendChanged, StandingChanged]


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_has_a_whole_example(event: type[Event]) -> None:
    example = event.example()
    assert example.key
    assert type(example).model_validate_json(example.model_dump_json()) == example


def _subscription(**terms: Any) -> SubscriptionEvent:
    return SubscriptionEvent.model_validate(
        {
            "subscription_id": SUBSCRIPTION, "version": 1, "organisation_id": CONSUMER,
            "provider_organisation_id": PROVIDER, "provider_slug": "acme", "api_id": API, "api_slug": "weather",
            "plan_id": an_id(1), "plan_version_id": PLAN, "status": "active", "reason": None,
            "started_at": "2026-11-01T00:00:00Z", "canceled_at": None, "created_at": "2026-11-01T00:00:00Z",
            "limits_override": None,
            "phases": [
                {"plan_version_id": PLAN, "from": "2026-11-01T00:00:00Z", "until": None, "terms": terms_json(**terms)}
            ],
        }
    )  # fmt: skip


async def test_terms_that_cannot_be_rated_are_parked_and_leave_nothing_behind(scenario: Scenario) -> None:
    with pytest.raises(PoisonMessage, match="barter"):
        async with scenario.db.begin() as session:
            event = _subscription(usage_price={"model": "barter"})
            await on_subscription(session, event, now=scenario.clock.now())
    assert await scenario.count("subscription") == 0


async def test_a_days_usage_is_as_new_as_its_highest_version(scenario: Scenario) -> None:
    for version, calls in ((2, 20), (1, 10), (3, 30), (3, 99)):
        event = UsageEvent.model_validate(
            {
                "subscription_id": SUBSCRIPTION, "plan_version_id": PLAN, "organisation_id": CONSUMER,
                "provider_organisation_id": PROVIDER, "api_id": API, "date": "2026-11-15", "version": version,
                "calls": calls, "billable_calls": calls, "units": calls, "errors_4xx": 0,
            }
        )  # fmt: skip
        async with scenario.db.begin() as session:
            await on_usage(session, event, now=scenario.clock.now())
    async with scenario.db.begin() as session:
        assert await session.scalar(text("SELECT billable_calls FROM metered_day")) == 30


async def test_the_name_is_what_stripe_gets(scenario: Scenario) -> None:
    for version, name in ((2, "New Ltd"), (1, "Old Ltd")):
        event = OrganisationEvent.model_validate(
            {"organisation_id": CONSUMER, "version": version, "slug": "new", "name": name, "status": "active"}
        )
        async with scenario.db.begin() as session:
            await on_organisation(session, event, now=scenario.clock.now())
    async with scenario.db.begin() as session:
        assert await session.scalar(text("SELECT name FROM billing_account")) == "New Ltd"


def test_a_month_may_be_written_with_or_without_a_day() -> None:
    total = {"subscription_id": SUBSCRIPTION, "plan_version_id": PLAN, "organisation_id": CONSUMER, "api_id": API,
             "calls": 1, "billable_calls": 1, "units": 1}  # fmt: skip
    event = PeriodEvent.model_validate(
        {
            "cutoff_id": an_id(1), "version": 1, "part": 1, "parts": 1, "until": "2026-12-01T00:00:00Z",
            "totals": [total | {"month": "2026-11"}, total | {"month": "2026-11-01"}],
        }
    )  # fmt: skip
    assert {t.month for t in event.totals} == {date(2026, 11, 1)}


async def test_all_state_can_be_published_again_under_the_same_ids(scenario: Scenario) -> None:
    await scenario.sell("11-16")
    await scenario.cut_off("12-01", 1350)
    await scenario.attach_card()
    await scenario.pay((await scenario.invoices())[0])
    await ensure_customer(scenario.db, scenario.stripe, scenario.clock, CONSUMER)
    await scenario.request("11-20")
    before = await outbox_events(scenario.db)
    async with scenario.db.begin() as session:
        count = await republish(session, scenario.clock.now())
        ids = (await session.scalars(text("SELECT event_id FROM outbox ORDER BY id"))).all()
    after = (await outbox_events(scenario.db))[len(before) :]
    # The invoice as it now stands, the account, the standing, and the cut-off that nobody has answered.
    assert sorted(e["topic"] for e in after) == [
        "billing.account.v1", "billing.cutoff.v1", "billing.invoice.v1", "billing.standing.v1",
    ]  # fmt: skip
    assert count == 4
    assert set(ids[len(before) :]) <= set(ids[: len(before)])
