"""A change touches only what it concerns; a sweep finds what nobody told us; both lead to the same gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from common.db import Database
from kong_sync.clients.kong_proxy import KongProxy, Sighting
from kong_sync.domain.entities import Kind
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import Tables
from kong_sync.domain.report import Outcome
from kong_sync.metrics import DRIFT
from kong_sync.usecases.keep_reconciled import keep_reconciled
from kong_sync.usecases.reconcile import reconcile
from tests.kong_sync.double import Died, Faulty
from tests.kong_sync.factories import (
    NOW,
    a_key,
    a_phase,
    a_quota,
    a_subscription,
    a_version,
    an_api,
    an_id,
    only,
    some_tables,
)  # fmt: skip
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage, neighbours


async def calls_of(stage: Stage, faults: Faulty, change: Tables) -> int:
    """How many calls to the Admin API `change` costs."""
    before = faults.reads + len(faults.writes)
    await tell(stage.db, change)
    assert (await stage.serve()).outcome is Outcome.APPLIED
    return faults.reads + len(faults.writes) - before


@pytest.mark.parametrize("many", [5, 300])
async def test_a_change_costs_the_same_however_large_the_marketplace_is(
    stage: Stage, faults: Faulty, many: int
) -> None:
    await stage.set_up()
    await tell(stage.db, neighbours(stage, many))
    assert (await stage.serve()).outcome is Outcome.APPLIED
    paused = only(subscriptions=[replace(stage.subscription, version=2, status="paused")])
    assert await calls_of(stage, faults, paused) == 2 + 3  # tags and group, and the canary's three
    slower = replace(stage.subscription, version=3, phases=(a_phase(limits=Limits(minute=5)),))
    assert (
        await calls_of(stage, faults, only(subscriptions=[slower])) == 3 + 2 * 3
    )  # and the canary for the limits
    assert faults.reads < 100
    assert await stage.plan() == []


async def test_a_page_is_served_without_asking_kong_what_stands(stage: Stage, faults: Faulty) -> None:
    await stage.set_up()
    reads = faults.reads
    await tell(stage.db, only(apis=[replace(stage.api, version=2, slug="pay2")]))
    await stage.serve()
    assert faults.reads == reads
    assert (await stage.call("/pay2/v1/x")).status_code == 200
    assert await stage.plan() == []


@st.composite
def markets(draw: st.DrawFn) -> Tables:
    """Some newer rows of a few APIs of two providers, their versions, subscriptions, keys and quotas."""
    names = st.sampled_from("ab")
    apis = [
        an_api(
            id=an_id(f"2s api {name}"),
            slug=draw(names),
            provider_id=an_id(draw(st.sampled_from(["2s p", "2s q"]))),
            provider_slug=draw(st.sampled_from(["two-p", "two-q"])),
            status=draw(st.sampled_from(["published", "retired"])),
        )
        for name in draw(st.sets(names))
    ]
    versions = [
        a_version(
            id=an_id(f"2s version {name}"), api_id=an_id(f"2s api {name}"), name="v1",
            is_latest=draw(st.booleans()), state=draw(st.sampled_from(["active", "sunset"])),
        )
        for name in draw(st.sets(names))
    ]  # fmt: skip
    subscriptions = [
        a_subscription(
            id=an_id(f"2s subscription {name}"), api_id=an_id(f"2s api {name}"),
            status=draw(st.sampled_from(["active", "paused", "canceled", "rejected"])),
            phases=(a_phase(limits=Limits(minute=draw(st.none() | st.integers(1, 2)))),),
        )
        for name in draw(st.sets(names))
    ]  # fmt: skip
    keys = [
        a_key(
            id=an_id(f"2s key {name}"), subscription_id=an_id(f"2s subscription {name}"),
            sha256=("cd" if name == "a" else "ef") * 32, mode=draw(st.sampled_from(["live", "test"])),
            status=draw(st.sampled_from(["active", "revoked"])),
        )
        for name in draw(st.sets(names))
    ]  # fmt: skip
    quotas = [
        a_quota(
            subscription_id=an_id(f"2s subscription {name}"), state=draw(st.sampled_from(["ok", "reached"]))
        )
        for name in draw(st.sets(names))
    ]
    return some_tables(apis=apis, versions=versions, subscriptions=subscriptions, keys=keys, quotas=quotas)


@given(changes=st.lists(markets(), min_size=1, max_size=3))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_sequence_of_changes_leads_to_what_a_sweep_would_make(
    stage: Stage, version: Callable[[], int], changes: list[Tables]
) -> None:
    if await _never_swept(stage):
        await stage.reconcile()
    for change in changes:
        await tell(stage.db, _newer(change, version()))
        await stage.serve()
    assert await stage.plan() == []
    report = await stage.reconcile()
    assert (report.outcome, report.plan.withheld) == (Outcome.EQUAL, ())


@pytest.fixture
def version() -> Callable[[], int]:
    numbers = iter(range(2, 1_000))
    return lambda: next(numbers)


async def _never_swept(stage: Stage) -> bool:
    async with stage.db.begin() as session:
        return not await session.scalar(text("SELECT count(*) FROM reconcile_pass"))


def _newer(tables: Tables, number: int) -> Tables:
    return Tables(
        apis={id_: replace(one, version=number) for id_, one in tables.apis.items()},
        versions={id_: replace(one, version=number) for id_, one in tables.versions.items()},
        subscriptions={id_: replace(one, version=number) for id_, one in tables.subscriptions.items()},
        keys={id_: replace(one, version=number) for id_, one in tables.keys.items()},
        quotas={id_: replace(one, version=number) for id_, one in tables.quotas.items()},
    )


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_process_that_dies_at_any_write_leaves_nothing_forgotten(
    stage: Stage, faults: Faulty, moment: str
) -> None:
    await stage.set_up()
    number = 1
    for at in range(30):
        # there and back: a group that was given and not written down would stay
        for status in ("past_due", "active"):
            number += 1
            change = replace(
                stage.subscription,
                version=number,
                status=status,
                phases=(a_phase(limits=Limits(minute=number)),),
            )
            await tell(stage.db, only(subscriptions=[change]))
            survived = await _serve_until_death(stage, faults, at=at, moment=moment)
        stopped = replace(change, version=number + 1, status="paused")
        number += 1
        await tell(stage.db, only(subscriptions=[stopped]))
        faults.fault = lambda _, __: None
        await stage.serve()
        assert (await stage.call()).status_code == 403
        assert await stage.plan() == []
        if survived:
            break
    assert at > 6


async def _serve_until_death(stage: Stage, faults: Faulty, *, at: int, moment: str) -> bool:
    start = len(faults.writes)

    def fault(number: int, _: httpx.Request) -> str | None:
        return f"die {moment}" if number == start + at else None

    faults.fault = fault
    survived = False
    try:
        await stage.serve()
        survived = True
    except* Died:
        pass
    return survived


async def test_a_gateway_emptied_behind_our_back_asks_for_a_sweep(stage: Stage) -> None:
    await stage.set_up()
    await _empty(stage)
    await tell(stage.db, neighbours(stage, 1))
    report = await stage.serve()
    assert (report.sweep_needed, report.failures) == (True, {})
    assert (await stage.reconcile()).outcome is Outcome.APPLIED
    assert (await stage.call()).status_code == 200
    assert await stage.plan() == []


async def test_a_gateway_emptied_behind_our_back_is_filled_after_the_next_change(stage: Stage) -> None:
    await stage.set_up()
    wake, stop = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(
        keep_reconciled(
            stage.db, stage.gateway, clock=stage.clock, wake=wake, stop=stop, interval_seconds=3600
        )
    )
    await asyncio.sleep(0.5)
    await _empty(stage)
    await tell(stage.db, neighbours(stage, 1))
    wake.set()
    async with asyncio.timeout(60):
        while (await stage.call()).status_code != 200:
            await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(running, 5)


async def _empty(stage: Stage) -> None:
    async with httpx.AsyncClient(base_url=stage.double.admin_url) as admin:
        tags = ",".join(stage.gateway.edge.selector)
        for kind in (Kind.ROUTE, Kind.PLUGIN, Kind.CONSUMER, Kind.SERVICE):
            for entity in (await admin.get(f"/{kind}", params={"tags": tags, "size": 1000})).json()["data"]:
                await admin.delete(f"/{kind}/{entity['id']}")


class Blindfold(KongProxy):
    """Sees nothing until it is taken off. `looked` is set with the first look."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.looked, self.off = asyncio.Event(), asyncio.Event()

    async def look(self, namespace: str, generation: str, *, connections: int) -> Sighting:
        self.looked.set()
        if not self.off.is_set():
            return Sighting(seen=False, instead="404 no Route matched with those values")
        return await super().look(namespace, generation, connections=connections)


async def test_a_stop_overtakes_a_page_that_waits_for_the_canary(stage: Stage) -> None:
    await stage.set_up()
    blind = Blindfold(stage.double.proxy_url)
    slow = replace(stage.gateway, proxy=blind, canary_timeout_seconds=3600)
    await tell(stage.db, neighbours(stage, 3))
    page = asyncio.create_task(
        reconcile(stage.db, slow, clock=stage.clock, stop=asyncio.Event(), sweep=False)
    )
    await blind.looked.wait()
    stopped = only(subscriptions=[replace(stage.subscription, version=2, status="past_due")])
    await tell(stage.db, stopped)
    async with asyncio.timeout(60):
        while (await stage.call()).status_code != 403:
            await asyncio.sleep(0.02)
    assert not page.done()
    blind.off.set()
    assert (await page).outcome is Outcome.APPLIED
    assert await stage.plan() == []
    await blind.close()


async def test_a_stop_noted_while_access_is_about_to_be_given_wins(stage: Stage, faults: Faulty) -> None:
    await stage.set_up()
    paused = only(subscriptions=[replace(stage.subscription, version=2, status="paused")])
    await tell(stage.db, paused)
    await stage.serve()
    active = replace(stage.subscription, version=3, phases=(a_phase(limits=Limits(minute=7)),))
    await tell(stage.db, only(subscriptions=[active]))
    interrupt = asyncio.Event()

    async def pause_again() -> None:
        await tell(stage.db, only(subscriptions=[replace(stage.subscription, version=4, status="paused")]))
        interrupt.set()

    pausing: list[asyncio.Task[None]] = []

    def fault(_: int, request: httpx.Request) -> None:
        if request.url.path.startswith("/plugins/") and not pausing:
            pausing.append(asyncio.create_task(pause_again()))

    faults.fault = fault
    await reconcile(
        stage.db, stage.gateway, clock=stage.clock, stop=asyncio.Event(), sweep=False, interrupt=interrupt
    )
    assert pausing
    assert (await stage.call()).status_code == 403
    assert await stage.plan() == []


async def test_whoever_becomes_due_while_kong_is_listed_is_served(stage: Stage, faults: Faulty) -> None:
    await stage.set_up()
    listing, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Faulty):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET":
                listing.set()
                await go_on.wait()
            return await super().handle_async_request(request)

    admin = type(stage.gateway.admin)(stage.double.admin_url, attempts=1, transport=Slow())
    sweep = asyncio.create_task(
        reconcile(stage.db, replace(stage.gateway, admin=admin), clock=stage.clock, stop=asyncio.Event())
    )
    await listing.wait()
    await tell(stage.db, only(subscriptions=[replace(stage.subscription, version=2, status="paused")]))
    async with asyncio.timeout(60):
        while (await stage.call()).status_code != 403:
            await asyncio.sleep(0.02)
    go_on.set()
    assert (await sweep).failures == {}
    assert (await stage.call()).status_code == 403  # what the sweep had read before is not put back
    assert await stage.plan() == []
    await admin.close()


async def test_a_sweep_counts_what_a_hand_changed_and_not_what_was_newly_wished(stage: Stage) -> None:
    def count() -> float:
        return sum(
            sample.value for metric in DRIFT.collect() for sample in metric.samples if "total" in sample.name
        )

    await stage.set_up()
    before = count()
    await tell(stage.db, only(apis=[replace(stage.api, version=2, slug="pay2")]))
    await stage.reconcile()
    assert count() == before
    async with httpx.AsyncClient(base_url=stage.double.admin_url) as admin:
        await admin.delete(f"/routes/{stage.gateway.edge.id_of(f'route.{stage.version.id}')}")
    await stage.reconcile()
    assert count() == before + 1
    assert (await stage.call("/pay2/v1/x")).status_code == 200


async def test_a_refused_owner_is_tried_again_without_a_new_event(stage: Stage, faults: Faulty) -> None:
    await stage.set_up()
    acl = stage.gateway.edge.id_of(f"consumer.{stage.subscription.id}.acl")
    await tell(stage.db, only(subscriptions=[replace(stage.subscription, version=2, status="paused")]))
    faults.fault = lambda _, request: 409 if request.url.path.endswith(acl) else None
    report = await stage.serve()
    assert report.outcome is Outcome.PARTLY
    assert report.next_deadline == NOW + timedelta(seconds=15)
    faults.fault = lambda _, __: None
    assert (await stage.serve()).outcome is Outcome.EQUAL  # not yet
    stage.clock.set(NOW + timedelta(seconds=15))
    assert (await stage.serve()).outcome is Outcome.APPLIED
    assert (await stage.call()).status_code == 403


async def test_two_providers_may_swap_their_slugs(stage: Stage) -> None:
    other = replace(
        stage.api, id=an_id(f"o {stage.slug}"), provider_id=an_id("o"), provider_slug=f"{stage.slug}-o"
    )
    version = replace(stage.version, id=an_id(f"ov {stage.slug}"), api_id=other.id)
    await stage.set_up()
    await tell(stage.db, only(apis=[other], versions=[version]))
    await stage.serve()
    swapped = [
        replace(stage.api, version=2, provider_slug=other.provider_slug),
        replace(other, version=2, provider_slug=stage.api.provider_slug),
    ]
    for api in swapped:
        await tell(stage.db, only(apis=[api]))
        assert (await stage.serve()).failures == {}
    assert await stage.plan() == []


async def test_what_is_remembered_holds_no_key(stage: Stage, worker_db: Database) -> None:
    await stage.set_up()
    async with worker_db.begin() as session:
        rows = (await session.execute(text("SELECT fields::text FROM applied_entity"))).scalars().all()
    assert rows
    assert not [row for row in rows if stage.key in row]
