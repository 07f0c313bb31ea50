from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from billing.consumers.adjustment import AdjustmentEvent, on_adjustment
from billing.db import runs, switch
from billing.domain.errors import BillingDisabled, CutoffInFuture
from billing.domain.lines import LineKind
from billing.usecases.draft_invoice import draft_invoice
from billing.usecases.issue_invoice import issue_invoice
from billing.usecases.open_invoice_run import open_invoice_run
from billing.usecases.request_invoice_run import request_invoice_run
from tests.billing.factories import CONSUMER, PLAN, SUBSCRIPTION, an_id, at, terms_json
from tests.billing.scenario import Scenario, amounts
from tests.support.outbox import outbox_events

OTHER, OTHER_PLAN, OTHER_SUBSCRIPTION = an_id(0xC1), an_id(0xF2), an_id(0x5C)


async def test_a_month_becomes_one_invoice_of_fee_in_advance_and_usage_in_arrears(scenario: Scenario) -> None:
    await scenario.sell("11-16")
    run = await scenario.cut_off("12-01", 1350)
    (invoice,) = await scenario.invoices()
    assert amounts(invoice) == [("fixed_fee", 1, 950), ("usage", 1250, 563), ("fixed_fee", 1, 1900)]
    assert (invoice.total, invoice.status, invoice.number) == (3413, "open", "MP-000001")
    assert run.status == "done"
    assert await scenario.trial() == {"receivable": 3413, "provider_pending": -3310, "fee_pending": -103}
    events = await outbox_events(scenario.db, "billing.invoice.v1")
    assert [(e["payload"]["status"], e["payload"]["total"]) for e in events] == [("open", 3413)]


async def test_the_same_request_is_the_same_run_and_asks_metering_once(scenario: Scenario) -> None:
    await scenario.sell()
    first = await scenario.cut_off("12-01", 300)
    second = await scenario.cut_off("12-01", 300)
    assert first.id == second.id
    assert len(await scenario.invoices()) == 1
    (event,) = await outbox_events(scenario.db, "billing.cutoff.v1")
    assert event["payload"]["cutoff_id"] == str(first.id)
    assert event["payload"]["organisation_id"] is None


async def test_a_run_for_one_organisation_leaves_nothing_for_the_run_of_all(scenario: Scenario) -> None:
    await scenario.sell()
    await scenario.sell(subscription=OTHER_SUBSCRIPTION, organisation=OTHER)
    one = await scenario.request("12-01", OTHER)
    await scenario.meter(one)
    await scenario.work()
    assert (len(await scenario.invoices(OTHER)), len(await scenario.invoices())) == (1, 0)
    await scenario.cut_off("12-01", 0)
    assert (len(await scenario.invoices(OTHER)), len(await scenario.invoices())) == (1, 1)


async def test_a_later_cut_in_the_month_bills_the_difference_and_no_second_fee(scenario: Scenario) -> None:
    await scenario.sell("11-01")
    await scenario.cut_off("11-10 12:00:00", 300)
    await scenario.cut_off("11-20 12:00:00", 1350)
    first, second = await scenario.invoices()
    assert amounts(first) == [("fixed_fee", 1, 1900), ("usage", 200, 100)]
    assert amounts(second) == [("usage", 1050, 463)]


async def test_cut_offs_that_are_answered_out_of_order_bill_nothing_twice(scenario: Scenario) -> None:
    await scenario.sell("11-01")
    early, late = await scenario.request("11-10"), await scenario.request("11-20")
    await scenario.meter(late, 1350)
    await scenario.work()
    await scenario.meter(early, 300)
    await scenario.work()
    assert [amounts(invoice) for invoice in await scenario.invoices()] == [
        [("fixed_fee", 1, 1900), ("usage", 1250, 563)]
    ]


async def test_nothing_to_bill_is_no_invoice(scenario: Scenario) -> None:
    await scenario.sell(fixed_fee=0)
    run = await scenario.cut_off("12-01", 80)
    assert (run.status, await scenario.invoices()) == ("done", [])


async def test_the_run_waits_for_every_part(scenario: Scenario) -> None:
    await scenario.sell()
    run = await scenario.request("12-01")
    await scenario.meter(run, 1350, part=1, parts=2)
    await scenario.work()
    assert (await scenario.run(run)).status == "waiting"
    await scenario.meter(run, 1350, part=1, parts=2)  # delivered twice
    await scenario.work()
    assert (await scenario.run(run)).status == "waiting"
    await scenario.meter(run, part=2, parts=2)
    await scenario.work()
    assert (await scenario.run(run)).status == "done"


async def test_usage_without_terms_holds_the_close_until_they_arrive(scenario: Scenario) -> None:
    run = await scenario.cut_off("12-01", 1350)
    async with scenario.db.begin() as session:
        held = await runs.held(session, run.id)
    assert (run.status, [(h.subscription_id, h.reason) for h in held]) == (
        "invoicing", [(SUBSCRIPTION, "unknown_terms")],
    )  # fmt: skip
    await scenario.sell("11-16")
    await scenario.work()
    assert (await scenario.run(run)).status == "done"
    assert [line[0] for line in amounts((await scenario.invoices())[0])] == [
        "fixed_fee",
        "usage",
        "fixed_fee",
    ]
    assert await scenario.count("unpriced") == 0


async def test_a_plan_edited_after_the_sale_changes_no_line(scenario: Scenario) -> None:
    await scenario.sell("11-16")
    await scenario.sell("11-16", fixed_fee=9900, included_requests=0)  # the same plan version, other terms
    await scenario.cut_off("12-01", 1350)
    (invoice,) = await scenario.invoices()
    assert [line[2] for line in amounts(invoice)] == [950, 563, 1900]


async def test_an_older_event_changes_nothing(scenario: Scenario) -> None:
    await scenario.sell("11-16", version=5, canceled="11-20")
    await scenario.sell("11-16", version=4)
    await scenario.cut_off("12-01", 0)
    (invoice,) = await scenario.invoices()
    assert amounts(invoice) == [("fixed_fee", 1, 950)]  # canceled: no December


async def test_volume_is_refused_inside_the_month_and_billed_at_its_end(scenario: Scenario) -> None:
    volume = {"model": "volume", "tiers": [{"up_to": None, "unit_price": "1"}]}
    await scenario.sell(fixed_fee=0, included_requests=0, usage_price=volume)
    run = await scenario.cut_off("11-20", 300)
    async with scenario.db.begin() as session:
        assert [h.reason for h in await runs.held(session, run.id)] == ["volume_inside_month"]
    assert (run.status, await scenario.invoices()) == ("done", [])
    await scenario.cut_off("12-01", 400)
    assert [amounts(i) for i in await scenario.invoices()] == [[("usage", 400, 400)]]


async def test_a_change_of_plan_after_the_invoice_is_credited_and_charged_by_the_second(
    scenario: Scenario,
) -> None:
    await scenario.sell("11-01")
    await scenario.cut_off("11-10", 0)
    old = {"plan_version_id": str(PLAN), "from": "2026-11-01T00:00:00Z", "until": "2026-11-16T00:00:00Z",
           "terms": terms_json()}  # fmt: skip
    new = {"plan_version_id": str(OTHER_PLAN), "from": "2026-11-16T00:00:00Z", "until": None,
           "terms": terms_json(fixed_fee=5900)}  # fmt: skip
    await scenario.sell("11-01", phases=[old, new])
    await scenario.cut_off("11-20")
    assert amounts((await scenario.invoices())[-1]) == [("credit", 1, -950), ("proration", 1, 2950)]
    await scenario.cut_off("11-25")
    assert len(await scenario.invoices()) == 2


async def test_what_is_too_little_is_carried_to_the_next_invoice(scenario: Scenario) -> None:
    await scenario.sell(fixed_fee=0, included_requests=0)
    run = await scenario.request("12-01")
    await scenario.meter(run, 20)
    await scenario.work(minimum=50)
    assert await scenario.invoices() == []
    scenario.clock.set(at("2027-01-01 02:00"))
    later = await scenario.request("2027-01-01")
    await scenario.meter(later)
    await scenario.work()
    (invoice,) = await scenario.invoices()
    assert amounts(invoice) == [("adjustment", 20, 10)]
    assert invoice.lines[0].draft.month == at("11-01")


async def test_usage_that_arrives_after_the_close_is_on_the_next_invoice(scenario: Scenario) -> None:
    await scenario.sell(fixed_fee=0, included_requests=0)
    await scenario.cut_off("12-01", 100)
    late: dict[str, Any] = {
        "subscription_id": SUBSCRIPTION, "plan_version_id": PLAN, "organisation_id": CONSUMER,
        "api_id": an_id(0xA1), "month": "2026-11-01", "version": 2, "billable_calls": 130, "units": 130,
    }  # fmt: skip
    for version in (2, 1):  # the older one comes last and changes nothing
        async with scenario.db.begin() as session:
            event = AdjustmentEvent.model_validate(
                late | {"version": version, "billable_calls": 100 + 15 * version}
            )
            await on_adjustment(session, event, now=scenario.clock.now())
    for until in ("2026-12-10", "2026-12-20"):
        run = await scenario.request(until)
        await scenario.meter(run)
        await scenario.work()
    first, second = await scenario.invoices()
    assert amounts(second) == [("adjustment", 30, 15)]
    assert second.lines[0].draft.kind is LineKind.ADJUSTMENT
    assert first.total == 50


async def test_what_a_second_run_of_the_same_cut_off_finds_is_on_the_next_invoice(scenario: Scenario) -> None:
    await scenario.sell(fixed_fee=0, included_requests=0)
    await scenario.cut_off("12-01", 100)
    other: dict[str, Any] = {"subscription": OTHER_SUBSCRIPTION, "plan": OTHER_PLAN}
    await scenario.sell(fixed_fee=0, included_requests=0, **other)  # its event comes late
    run = await scenario.request("12-01", CONSUMER)
    await scenario.meter(run, 60, **other)
    await scenario.work()
    assert len(await scenario.invoices()) == 1
    later = await scenario.request("2027-01-01")
    await scenario.meter(later)
    await scenario.work()
    assert [amounts(i) for i in await scenario.invoices()] == [[("usage", 100, 50)], [("adjustment", 60, 30)]]


async def test_two_workers_at_once_make_each_invoice_once_and_numbers_without_gaps(
    scenario: Scenario,
) -> None:
    buyers = [an_id(0x700 + n) for n in range(6)]
    for n, buyer in enumerate(buyers):
        await scenario.sell(subscription=an_id(0x800 + n), organisation=buyer)
    run = await scenario.request("12-01")
    await scenario.meter(run)
    await asyncio.gather(*(scenario.work() for _ in range(4)))
    await scenario.work()
    numbers = sorted([i.number for buyer in buyers for i in await scenario.invoices(buyer)], key=str)
    assert numbers == [f"MP-{n:06}" for n in range(1, 7)]
    assert (await scenario.run(run)).status == "done"
    assert await scenario.count("ledger_transaction") == 6


class Killed(Exception):
    """The process died here."""


@pytest.mark.parametrize("step", ["open", "draft", "issue"])
async def test_a_crash_inside_any_step_leaves_it_to_be_done_once(scenario: Scenario, step: str) -> None:
    await scenario.sell("11-16")
    run = await scenario.request("12-01")
    await scenario.meter(run, 1350)
    steps = {"open": scenario.open_runs, "draft": scenario.draft, "issue": scenario.issue}
    for name, work in steps.items():
        if name == step:
            await _die_during(scenario, name)
        await work()
    await scenario.finish()
    (invoice,) = await scenario.invoices()
    assert (invoice.number, invoice.total) == ("MP-000001", 3413)
    assert await scenario.count("ledger_transaction") == 1
    assert len(await outbox_events(scenario.db, "billing.invoice.v1")) == 1


async def _die_during(scenario: Scenario, step: str) -> None:
    """The step runs to its end and the process dies before the commit."""
    now = scenario.clock.now()
    with pytest.raises(Killed):
        async with scenario.db.begin() as session:
            if step == "open":
                assert await open_invoice_run(session, now=now)
            elif step == "draft":
                assert await draft_invoice(session, fee_percent=Decimal(3), minimum=1, now=now)
            else:
                assert await issue_invoice(session, seller="MP", now=now)
            raise Killed


async def test_the_database_refuses_to_bill_a_second_twice(scenario: Scenario) -> None:
    await scenario.sell("11-16")
    await scenario.cut_off("12-01", 1350)
    again = text("""
        INSERT INTO invoice_line SELECT gen_random_uuid(), invoice_id, 99, organisation_id, provider_organisation_id,
            subscription_id, plan_version_id, api_id, kind, series,
            tstzrange(upper(during) - interval '1 second', upper(during)), month, description, quantity, unit_price,
            amount, fee, metered_total, trace
        FROM invoice_line WHERE kind = :kind LIMIT 1""")
    for kind in ("fixed_fee", "usage"):
        with pytest.raises(Exception, match="ex_invoice_line_billed_once"):
            async with scenario.db.begin() as session:
                await session.execute(again, {"kind": kind})


async def test_billing_that_is_off_refuses_and_bills_nothing_backwards(scenario: Scenario) -> None:
    with pytest.raises(BillingDisabled):
        async with scenario.db.begin() as session:
            await request_invoice_run(
                session, organisation_id=None, until=None, enabled=False, now=scenario.clock.now()
            )
    for enabled, moment in ((False, at("11-01")), (True, at("11-16")), (True, at("11-20"))):
        async with scenario.db.begin() as session:
            await switch.record(session, enabled=enabled, now=moment)
    await scenario.sell("10-01")
    await scenario.cut_off("12-01", 1350)
    (invoice,) = await scenario.invoices()
    assert amounts(invoice) == [("fixed_fee", 1, 950), ("fixed_fee", 1, 1900)]


async def test_the_future_cannot_be_cut_off(scenario: Scenario) -> None:
    with pytest.raises(CutoffInFuture):
        async with scenario.db.begin() as session:
            await request_invoice_run(
                session, organisation_id=None, until=at("11-16"), enabled=True, now=scenario.clock.now()
            )
