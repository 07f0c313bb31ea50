"""Pages one after the other: while one is written, the next is planned and the one before it settled."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace

import pytest

from kong_sync.db import applied, due, passes
from kong_sync.db import progress as told_progress
from kong_sync.domain.diff import Action, Change
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.progress import State
from kong_sync.domain.report import Applied, Outcome
from kong_sync.usecases import serve_due
from kong_sync.usecases.plan_page import Page, Portion
from kong_sync.usecases.serve_due import DueServer
from kong_sync.usecases.settle_page import Written, settle_page
from tests.kong_sync.double import Faulty
from tests.kong_sync.factories import an_id, only
from tests.kong_sync.gates import Gate, changed, page, put_of, stays, until
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage, neighbours


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two owners in a page, as if five hundred times as many were due."""
    monkeypatch.setattr(serve_due, "_PAGE", 2)


@pytest.fixture
def single_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_due, "_PAGE", 1)


@pytest.mark.usefixtures("small_pages")
async def test_a_first_pass_over_many_pages_goes_to_the_end(stage: Stage) -> None:
    await tell(stage.db, stage.tables)
    await tell(stage.db, neighbours(stage, 3))
    assert (await stage.reconcile()).outcome is Outcome.APPLIED
    assert (await stage.call()).status_code == 200
    assert await stage.plan() == []


@pytest.mark.usefixtures("small_pages")
async def test_a_stop_beyond_the_page_overtakes_it_though_a_later_note_is_in_it(
    stage: Stage, faults: Faulty
) -> None:
    await stage.set_up()
    await tell(stage.db, neighbours(stage, 3))
    await tell(stage.db, only(subscriptions=[replace(stage.subscription, version=2, status="paused")]))
    async with stage.db.begin() as session:
        await due.note(session, [Owner(Concern.PROBE)])  # as a sweep does; it is served first
    done = len(faults.writes)
    await stage.serve()
    acl = stage.gateway.edge.id_of(f"consumer.{stage.subscription.id}.acl")
    assert [path.endswith(acl) for _, path, _ in faults.writes[done:][:2]] == [False, True]
    assert await stage.plan() == []


def of(subscription_id: str) -> Owner:
    return Owner(Concern.SUBSCRIPTION, subscription_id)


async def states(stage: Stage, subscriptions: Collection[str]) -> dict[str, State]:
    """What was told of each, in the order given."""
    async with stage.db.begin() as session:
        told = await told_progress.told_of(session, {of(one) for one in subscriptions})
    return {one: told[of(one)].progress.state for one in subscriptions if of(one) in told}


async def reached(stage: Stage, subscription: str, state: State) -> None:
    while (await states(stage, [subscription])).get(subscription) is not state:
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("single_pages")
async def test_while_one_is_written_the_next_is_planned_and_the_one_before_it_settled(stage: Stage) -> None:
    await stage.set_up()
    others = neighbours(stage, 3)
    first, second, third = others.subscriptions
    for one in (first, second, third):
        await tell(stage.db, only(subscriptions=[others.subscriptions[one]]))
    async with page(stage, Gate(put_of(stage, f"consumer.{second}"))) as serving:
        await reached(stage, first, State.LIVE)
        await reached(stage, third, State.PENDING)
        assert await states(stage, [second]) == {second: State.PENDING}
        assert serving.wrote("PUT", f"consumer.{third}") == 0
        async with stage.db.begin() as session:
            written_down = await applied.of_owners(session, {of(third)})
            last = await passes.find(session)
        assert written_down  # what may soon stand there, should this process die
        assert last is not None
        assert (
            last.canary_seen is False
        )  # though the first page was seen: limits of the next are on their way
    async with stage.db.begin() as session:
        last = await passes.find(session)
    assert last is not None
    assert last.canary_seen is True
    await stays(stage, 200)


@pytest.mark.usefixtures("single_pages")
async def test_one_who_becomes_due_again_while_it_is_written_is_planned_after_that(stage: Stage) -> None:
    await stage.set_up()
    await tell(stage.db, changed(stage, 2, "active"))
    limits = f"consumer.{stage.subscription.id}.rate-limiting"
    async with page(stage, Gate(put_of(stage, limits))) as serving:
        await tell(stage.db, changed(stage, 3, "active"))
        (other,) = neighbours(stage, 1).subscriptions
        await tell(stage.db, neighbours(stage, 1))
        serving.heard()
        await reached(stage, other, State.PENDING)  # it is planned, and the one before it in the queue is not
    answer = await stage.call()
    assert (answer.status_code, answer.headers["X-RateLimit-Limit"]) == (200, "3")
    await stays(stage, 200)


@pytest.mark.usefixtures("single_pages")
async def test_a_stop_overtakes_what_was_planned_ahead(stage: Stage) -> None:
    await stage.set_up()
    others = neighbours(stage, 1)
    (other,) = others.subscriptions
    await tell(stage.db, only(subscriptions=[others.subscriptions[other]]))
    await tell(stage.db, changed(stage, 2, "active"))
    limits = f"consumer.{stage.subscription.id}.rate-limiting"
    async with page(stage, Gate(put_of(stage, f"consumer.{other}"))) as serving:
        await reached(stage, stage.subscription.id, State.PENDING)
        await tell(stage.db, changed(stage, 3, "paused"))
        await until(lambda: serving.wrote("DELETE", f"consumer.{stage.subscription.id}.acl") == 1)
    assert serving.wrote("PUT", limits) == 1  # those of the stop's version alone
    await stays(stage, 403)


async def test_a_stop_between_the_last_write_and_the_settling_is_not_forgotten(stage: Stage) -> None:
    await stage.set_up()
    owner = of(stage.subscription.id)
    server = DueServer(stage.db, stage.gateway, stage.clock, lambda: None, None)
    async with stage.db.begin() as session:
        acl = next(one for one in await applied.of_owners(session, {owner}) if one.fields.get("group"))
        await applied.forget(session, [acl.key])  # as the lane does
    wrote = Portion(frozenset({owner}), (), (), {}, {}, unsettled=False)
    given = Applied(written=(Change(Action.CREATE, acl),))
    server.lane.fence.overtaken.add(owner)
    await settle_page(
        stage.db, stage.clock, server.lane, Written(Page([], {owner}, [wrote]), given, seen=True)
    )
    async with stage.db.begin() as session:
        assert acl.key not in {one.key for one in await applied.of_owners(session, {owner})}


@pytest.mark.usefixtures("single_pages")
async def test_apis_of_one_provider_may_be_in_pages_that_overlap(stage: Stage) -> None:
    await stage.set_up()
    second = replace(
        stage.api, id=an_id(f"second {stage.slug}"), slug="more", provider_slug=f"{stage.slug}-2"
    )
    version = replace(stage.version, id=an_id(f"v {second.id}"), api_id=second.id)
    await tell(stage.db, only(apis=[replace(stage.api, version=2, upstream_epoch=2)]))
    async with page(stage, Gate(put_of(stage, f"service.{stage.version.id}"))) as serving:
        await tell(stage.db, only(apis=[second], versions=[version]))
        serving.heard()
        async with asyncio.timeout(20):
            while True:
                async with stage.db.begin() as session:
                    if await applied.of_owners(session, {Owner(Concern.API, second.id)}):
                        break
                await asyncio.sleep(0.01)
    await stays(stage, 200)
