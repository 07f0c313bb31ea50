"""`kill -9` at every step of an apply, and a start after it: the gateway is as wished, and the next plan is empty."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from devstack.embedded.databases import DatabaseUrls
from kong_sync.domain.limits import Limits
from kong_sync.domain.report import Outcome
from kong_sync.usecases.plan_changes import plan_changes
from tests.kong_sync.double import Double
from tests.kong_sync.factories import a_phase, only
from tests.kong_sync.market import tell
from tests.kong_sync.mortal import Asked, Mortal
from tests.kong_sync.stage import Stage


@pytest.fixture(scope="module")
async def double(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Double]:
    """One for these tests alone, for the first of them fills it with dozens of markets."""
    started = Double(Path(tmp_path_factory.mktemp("kong")))
    await started.start()
    yield started
    await started.kill()


@pytest.fixture(scope="module")
async def mortal() -> AsyncIterator[Mortal]:
    started = await Mortal.start()
    yield started
    await started.stop()


async def test_in_a_first_provisioning(stage: Stage, mortal: Mortal, urls: DatabaseUrls) -> None:
    forgetting = await asyncpg.connect(urls.superuser.replace("+asyncpg", ""))
    steps, survived = 0, False
    while not survived:
        market = _another_market(stage, steps)
        await tell(market.db, market.tables)
        survived = await _die(market, mortal, at=steps, sweep=True)
        await _start(market)
        assert (await market.call()).status_code == 200
        await _forget(forgetting)
        steps += 1
    await forgetting.close()
    assert steps > 31  # as many writes, and some commits


async def test_in_a_change(stage: Stage, mortal: Mortal) -> None:
    await stage.set_up()
    steps, survived = 0, False
    while not survived:
        version, phase = steps + 2, a_phase(limits=Limits(minute=steps + 10))
        subscription = replace(stage.subscription, version=version, phases=(phase,))
        # a plugin that comes and goes, a service, a route, a limit
        api = replace(
            stage.api, version=version, cors_origins=("https://shop.example",) * (steps % 2), upstream_epoch=version
        )  # fmt: skip
        await tell(stage.db, only(apis=[api], subscriptions=[subscription]))
        survived = await _die(stage, mortal, at=steps, sweep=False, before=True)
        await _start(stage)
        answer = await stage.call()
        assert (answer.status_code, answer.headers["X-RateLimit-Limit"]) == (200, str(steps + 10))
        assert ("Access-Control-Allow-Origin" in answer.headers) == bool(api.cors_origins)
        steps += 1
    assert steps > 2 * 6


async def test_in_a_stop_and_in_what_lifts_it(stage: Stage, mortal: Mortal) -> None:
    await stage.set_up()
    steps, version, survived = 0, 1, {"past_due": False, "active": False}
    while not all(survived.values()):
        for status, answered in (("past_due", 403), ("active", 200)):
            version += 1
            await tell(
                stage.db, only(subscriptions=[replace(stage.subscription, version=version, status=status)])
            )
            survived[status] = await _die(stage, mortal, at=steps, sweep=False)
            await _start(stage)
            assert (await stage.call()).status_code == answered
        steps += 1
    assert steps > 5


async def _die(market: Stage, mortal: Mortal, *, at: int, sweep: bool, before: bool = False) -> bool:
    return await mortal.make_pass(
        Asked(
            database_url=market.db.url, admin_url=market.double.admin_url, proxy_url=market.double.proxy_url,
            edge=market.gateway.edge, now=market.clock.now(), sweep=sweep, dies_at=at, before=before,
        )
    )  # fmt: skip


async def _start(market: Stage) -> None:
    """A new process would begin with a sweep."""
    report = await market.reconcile()
    assert (report.failures, report.outcome in {Outcome.APPLIED, Outcome.EQUAL}) == ({}, True)
    planned = await plan_changes(market.db, market.gateway, now=market.clock.now(), generation="x")
    assert planned.plan.empty
    assert {entity.key for entity in planned.actual} == {entity.key for entity in planned.desired}


def _another_market(stage: Stage, number: int) -> Stage:
    """One that the gateway has never seen, on the same database."""
    edge = replace(stage.gateway.edge, namespace=f"{stage.gateway.edge.namespace}k{number}")
    return Stage(stage.db, replace(stage.gateway, edge=edge), stage.clock, stage.double, stage.upstream)


async def _forget(connection: asyncpg.Connection) -> None:
    """Our tables hold nothing. What stands in the gateway is another marketplace's for the next namespace."""
    names = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    await connection.execute(";".join(f"DELETE FROM {name}" for (name,) in names))
