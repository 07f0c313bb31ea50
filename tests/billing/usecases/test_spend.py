from __future__ import annotations

from typing import Any
from uuid import UUID

from billing.consumers.usage import UsageEvent, on_usage
from billing.usecases.publish_spend import publish_spend
from billing.usecases.republish import republish
from billing.usecases.switch_billing import switch_billing
from billing.worker import spend_step, work_off
from tests.billing.factories import API, CONSUMER, PLAN, SUBSCRIPTION, an_id
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
    await scenario.sell(included_requests=100, usage_price=PRICE)
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
    await scenario.sell(included_requests=0, usage_price=PRICE)
    await use(scenario, 2, 100)
    assert await told(scenario) == [(250, 1)]


async def test_each_subscription_is_told_of_its_own_usage_alone(scenario: Scenario) -> None:
    other: UUID = an_id(0x5C)
    await scenario.sell(included_requests=0, usage_price=PRICE)
    await scenario.sell(subscription=other, api=an_id(0xA2), included_requests=0, usage_price=PRICE)
    await use(scenario, 1, 10)
    await use(scenario, 1, 40, subscription_id=other, api_id=an_id(0xA2))
    assert sorted(await told(scenario)) == [(25, 1), (100, 1)]


async def test_what_is_never_billed_costs_nothing(scenario: Scenario) -> None:
    await scenario.sell(included_requests=0, usage_price=PRICE)
    for enabled in (False, True):
        async with scenario.db.begin() as session:
            await switch_billing(session, enabled=enabled, now=scenario.clock.now())
    await use(scenario, 1, 10)
    assert await told(scenario) == []


async def test_a_republish_tells_it_again_with_the_same_version(scenario: Scenario) -> None:
    await scenario.sell(included_requests=0, usage_price=PRICE)
    await use(scenario, 1, 10)
    assert await told(scenario) == [(25, 1)]
    async with scenario.db.begin() as session:
        await republish(session, scenario.clock.now())
        assert not await publish_spend(session, now=scenario.clock.now())
    first, again = await outbox_events(scenario.db, "billing.spend.v1")
    assert first == again
