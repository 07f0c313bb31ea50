from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from billing.consumers.usage import UsageEvent, on_usage
from billing.usecases.publish_spend import publish_spend
from billing.usecases.republish import republish
from billing.usecases.switch_billing import switch_billing
from billing.worker import spend_step, work_off
from tests.billing.factories import API, CONSUMER, PLAN, SUBSCRIPTION, an_id, terms_json
from tests.billing.scenario import Scenario
from tests.support.outbox import outbox_events

PRICE = {"model": "per_unit", "unit_price": "2.5"}


async def use(scenario: Scenario, version: int, calls: int, **where: Any) -> None:
    event = UsageEvent.model_validate(
        {
            "version": version, "subscription_id": SUBSCRIPTION, "plan_version_id": PLAN, "organisation_id": CONSUMER,
            "api_id": API, "date": "2026-11-10", "calls": calls, "billable_calls": calls, "units": calls,
        } | where
    )  # fmt: skip
    async with scenario.db.begin() as session:
        await on_usage(session, event, now=scenario.clock.now())


async def told(scenario: Scenario) -> list[tuple[int, int]]:
    """Amount and version of each announcement, after everything due was rated."""
    await work_off([spend_step(scenario.db, scenario.clock)])
    events = await outbox_events(scenario.db, "billing.spend.v1")
    return [(e["payload"]["amount"], e["payload"]["version"]) for e in events]


async def test_what_usage_costs_so_far_is_told_when_it_changes(scenario: Scenario) -> None:
    await scenario.sell(fixed_fee=0, included_requests=100, usage_price=PRICE)
    await use(scenario, 1, 80)
    assert await told(scenario) == [(0, 1)]
    await use(scenario, 2, 100)
    await use(scenario, 3, 110)
    assert await told(scenario) == [(0, 1), (25, 2)]  # ten calls at 2.5, once for both changes
    await use(scenario, 2, 999)  # older
    assert await told(scenario) == [(0, 1), (25, 2)]
    await use(scenario, 1, 30, date="2026-11-11")
    assert (await told(scenario))[2:] == [(100, 3)]
    [*_, event] = await outbox_events(scenario.db, "billing.spend.v1")
    assert (event["key"], event["payload"]["currency"]) == (f"{SUBSCRIPTION}/2026-11", "EUR")


async def test_usage_before_its_terms_says_nothing_until_they_are_known(scenario: Scenario) -> None:
    await use(scenario, 1, 80)
    assert await told(scenario) == []
    await scenario.sell(fixed_fee=0, included_requests=0, usage_price=PRICE)
    await use(scenario, 2, 100)
    assert await told(scenario) == [(250, 1)]


async def test_each_subscription_is_told_of_its_own_usage_alone(scenario: Scenario) -> None:
    other: UUID = an_id(0x5C)
    await scenario.sell(fixed_fee=0, included_requests=0, usage_price=PRICE)
    await scenario.sell(
        subscription=other, api=an_id(0xA2), fixed_fee=0, included_requests=0, usage_price=PRICE
    )
    await use(scenario, 1, 10)
    await use(scenario, 1, 40, subscription_id=other, api_id=an_id(0xA2))
    assert sorted(await told(scenario)) == [(25, 1), (100, 1)]


async def test_what_is_never_billed_costs_nothing(scenario: Scenario) -> None:
    await scenario.sell(fixed_fee=0, included_requests=0, usage_price=PRICE)
    for enabled in (False, True):
        async with scenario.db.begin() as session:
            await switch_billing(session, enabled=enabled, now=scenario.clock.now())
    await use(scenario, 1, 10)
    assert await told(scenario) == []


async def test_a_republish_tells_it_again_with_the_same_version(scenario: Scenario) -> None:
    await scenario.sell(fixed_fee=0, included_requests=0, usage_price=PRICE)
    await use(scenario, 1, 10)
    assert await told(scenario) == [(25, 1)]
    async with scenario.db.begin() as session:
        await republish(session, scenario.clock.now())
        assert not await publish_spend(session, now=scenario.clock.now())
    first, again = await outbox_events(scenario.db, "billing.spend.v1")
    assert first == again


async def test_the_fixed_fee_is_part_of_it_also_without_usage_and_in_a_month_that_begins(
    scenario: Scenario,
) -> None:
    await scenario.sell(fixed_fee=1900, included_requests=100, usage_price=PRICE)
    assert await told(scenario) == [(1900, 1)]
    await use(scenario, 1, 110)
    await scenario.cut_off("11-15", 110)  # what is on an invoice now is not added once more
    await use(scenario, 2, 112)
    assert await told(scenario) == [(1900, 1), (1930, 2)]
    scenario.clock.set(datetime(2026, 12, 1, 0, 1, tzinfo=UTC))
    assert await told(scenario) == [(1900, 1), (1930, 2), (1900, 1)]
    [*_, december] = await outbox_events(scenario.db, "billing.spend.v1")
    assert december["key"] == f"{SUBSCRIPTION}/2026-12"
    assert len(await told(scenario)) == 3


async def test_after_a_change_of_plan_it_is_what_the_invoices_of_the_month_come_to(
    scenario: Scenario,
) -> None:
    await scenario.sell(fixed_fee=1900)
    await scenario.cut_off("11-15")
    scenario.clock.set(datetime(2026, 11, 20, tzinfo=UTC))
    change, more = "2026-11-17T13:14:15+00:00", an_id(0x5D)
    await scenario.sell(
        phases=[
            {"plan_version_id": str(PLAN), "from": "2026-11-01T00:00:00+00:00", "until": change,
             "terms": terms_json(fixed_fee=1900)},
            {"plan_version_id": str(more), "from": change, "until": None, "terms": terms_json(fixed_fee=4900)},
        ]
    )  # fmt: skip
    [(spent, _)] = await told(scenario)
    await scenario.cut_off("12-01")
    lines = [line.draft for invoice in await scenario.invoices() for line in invoice.lines]
    november = [line.amount for line in lines if line.month.month == 11]
    assert len(november) == 3
    assert sum(november) == spent


async def test_before_billing_was_switched_on_nothing_is_owed_and_from_then_on_the_fee_is(
    scenario: Scenario,
) -> None:
    await scenario.sell(fixed_fee=3000, included_requests=0, usage_price=PRICE)
    for enabled in (False, True):
        async with scenario.db.begin() as session:
            await switch_billing(session, enabled=enabled, now=scenario.clock.now())
    await use(scenario, 1, 10)
    [(amount, _)] = await told(scenario)
    left = (datetime(2026, 12, 1, tzinfo=UTC) - scenario.clock.now()) / timedelta(days=30)
    assert amount == round(3000 * left)
