from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from billing.db import ledger, payouts
from billing.db.payouts import Payout
from billing.usecases.open_connect_account import open_connect_account
from billing.usecases.reconcile import reconcile
from billing.usecases.refresh_connect_account import refresh_connect_account
from billing.usecases.send_next_payout import send_next_payout
from billing.usecases.start_payout import start_payout
from tests.billing.factories import PROVIDER, STRANGER
from tests.billing.scenario import Scenario
from tests.support.outbox import outbox_events

PAID = {"cash": 103, "platform_fee": -103}


@pytest.fixture
async def earned(scenario: Scenario) -> Scenario:
    """The provider has 33.10 EUR available."""
    await scenario.sell("11-16")
    await scenario.cut_off("12-01", 1350)
    await scenario.attach_card()
    await scenario.pay((await scenario.invoices())[0])
    return scenario


async def _onboard(scenario: Scenario) -> str:
    account = await open_connect_account(scenario.db, scenario.stripe, scenario.clock, PROVIDER, country="DE")
    account_id = str(account.connect_account_id)
    scenario.stripe.onboard(account_id)
    await refresh_connect_account(scenario.db, scenario.stripe, scenario.clock, account_id)
    return account_id


async def _start(scenario: Scenario) -> bool:
    async with scenario.db.begin() as session:
        return await start_payout(session, minimum=1, now=scenario.clock.now())


async def _send(scenario: Scenario) -> bool:
    return await send_next_payout(scenario.db, scenario.stripe, scenario.clock)


async def _payouts(scenario: Scenario) -> list[Payout]:
    async with scenario.db.begin() as session:
        return await payouts.list_of(session, PROVIDER, after=None, limit=10)


async def test_without_an_account_the_money_stays_available(earned: Scenario) -> None:
    assert not await _start(earned)
    await open_connect_account(earned.db, earned.stripe, earned.clock, PROVIDER, country="DE")
    assert not await _start(earned)  # an account that takes no payouts yet
    async with earned.db.begin() as session:
        assert await ledger.available_of(session, PROVIDER, "EUR") == 3310


async def test_with_one_it_is_sent_whole_and_once(earned: Scenario) -> None:
    await _onboard(earned)
    assert await _start(earned)
    assert not await _start(earned)
    assert await _send(earned)
    assert not await _send(earned)
    (payout,) = await _payouts(earned)
    (transfer,) = earned.stripe.transfers.values()
    assert (payout.status, payout.amount, transfer.amount, transfer.payout_id) == (
        "paid",
        3310,
        3310,
        payout.id,
    )
    assert await earned.trial() == PAID
    assert (await reconcile(earned.db, earned.stripe)).differences == ()


@pytest.mark.parametrize("when", ["before", "after", "during"])
async def test_a_failure_before_during_or_after_the_transfer_sends_it_once(
    earned: Scenario, when: str
) -> None:
    await _onboard(earned)
    await _start(earned)
    earned.stripe.fail("create_transfer", when)  # type: ignore[arg-type]
    assert await _send(earned)
    assert not await _send(earned)
    earned.clock.advance(seconds=2)
    assert await _send(earned)
    assert earned.stripe.effects("create_transfer") == 1
    assert await earned.trial() == PAID
    assert (await reconcile(earned.db, earned.stripe)).differences == ()


async def test_a_refused_transfer_is_available_again_and_tried_after_a_while(earned: Scenario) -> None:
    await _onboard(earned)
    earned.stripe.empty = True
    await _start(earned)
    await _send(earned)
    assert [p.status for p in await _payouts(earned)] == ["failed"]
    assert (await earned.trial())["provider_available"] == -3310
    earned.stripe.empty = False
    assert not await _start(earned)
    earned.clock.advance(hours=2)
    assert await _start(earned)
    await _send(earned)
    assert await earned.trial() == PAID
    assert (await reconcile(earned.db, earned.stripe)).differences == ()


async def test_two_workers_send_the_money_once(earned: Scenario) -> None:
    await _onboard(earned)
    await asyncio.gather(*(_start(earned) for _ in range(3)))
    await asyncio.gather(*(_send(earned) for _ in range(3)))
    assert earned.stripe.effects("create_transfer") == 1
    assert await earned.trial() == PAID


async def test_a_second_request_finds_the_first_account(scenario: Scenario) -> None:
    first = await _onboard(scenario)
    again = await open_connect_account(scenario.db, scenario.stripe, scenario.clock, PROVIDER, country="DE")
    assert again.connect_account_id == first
    events = await outbox_events(scenario.db, "billing.account.v1")
    assert [e["payload"]["connect"]["payouts_enabled"] for e in events] == [False, True]
    assert [e["payload"]["version"] for e in events] == [1, 2]


async def test_reconciliation_finds_what_is_only_on_one_side(earned: Scenario) -> None:
    await _onboard(earned)
    await _start(earned)
    await _send(earned)
    invoice_id = next(iter(earned.stripe.invoices))
    (ours,) = earned.stripe.transfers.values()
    foreign = replace(ours, id="tr_other", payout_id=STRANGER)
    earned.stripe.transfers = {foreign.id: foreign}
    del earned.stripe.invoices[invoice_id]
    found = (await reconcile(earned.db, earned.stripe)).differences
    assert [difference.split(" ", 1)[0] for difference in found] == ["invoice", "Stripe's", "payout"]
