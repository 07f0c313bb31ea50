"""A stop is written beside a page of other changes; whichever of both comes to an owner first, the truth stays."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from common.db import Database, Scope
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.report import Outcome
from kong_sync.usecases.serve_due import DueServer
from tests.gateway.keys import a_key as a_key_text
from tests.kong_sync.factories import NOW, an_id, only
from tests.kong_sync.gates import Gate, changed, page, put_of, stays, until
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage, neighbours


async def test_before_the_page_comes_to_its_owner(stage: Stage) -> None:
    """The page has planned new limits for the one that is stopped, and is busy with somebody else."""
    await stage.set_up()
    others = neighbours(stage, 1)
    (other,) = others.subscriptions
    await tell(stage.db, others)
    await tell(stage.db, changed(stage, 2, "active"))
    acl = f"consumer.{stage.subscription.id}.acl"
    async with page(stage, Gate(put_of(stage, f"consumer.{other}"))) as serving:
        await tell(stage.db, changed(stage, 3, "paused"))
        await until(lambda: serving.wrote("DELETE", acl) == 1)
        assert (await stage.call()).status_code == 403
        assert serving.wrote("PUT", f"consumer.{other}") == 0
    # the limits were written once: those of the stop's version, by the page after
    assert serving.wrote("PUT", f"consumer.{stage.subscription.id}.rate-limiting") == 1
    await stays(stage, 403)


async def test_in_the_middle_of_the_write_that_gives_access(stage: Stage) -> None:
    await stage.set_up()
    await tell(stage.db, changed(stage, 2, "paused"))
    await stage.serve()
    await tell(stage.db, changed(stage, 3, "active"))
    acl = f"consumer.{stage.subscription.id}.acl"
    async with page(stage, Gate(put_of(stage, acl))) as serving:
        await tell(stage.db, changed(stage, 4, "paused"))
        owner = Owner(Concern.SUBSCRIPTION, stage.subscription.id)
        await until(lambda: owner in serving.server.lane.fence.overtaken)
        assert serving.wrote("DELETE", acl) == 0
    written = [method for method, id_ in serving.done if id_ == stage.gateway.edge.id_of(acl)]
    assert written == ["PUT", "DELETE"]
    await stays(stage, 403)


@pytest.mark.parametrize(("then", "answered"), [("paused", 403), ("active", 200)])
async def test_after_the_page_gave_access_and_before_it_is_through(
    stage: Stage, then: str, answered: int
) -> None:
    """The page does not remember to have given what was taken since; and what is wished after the stop comes."""
    await stage.set_up()
    await tell(stage.db, changed(stage, 2, "paused"))
    await stage.serve()
    await tell(stage.db, changed(stage, 3, "active"))
    acl = f"consumer.{stage.subscription.id}.acl"
    held: list[str] = []

    def canary_after_access(request: httpx.Request) -> bool:
        last = put_of(stage, "route.probe")(request) and len(held) == 1
        held.extend(["limits"] if put_of(stage, "route.probe")(request) and not held else [])
        return last

    async with page(stage, Gate(canary_after_access)) as serving:
        assert serving.wrote("PUT", acl) == 1
        await tell(stage.db, changed(stage, 4, "paused"))
        await until(lambda: serving.wrote("DELETE", acl) == 1)
        assert (await stage.call()).status_code == 403
        await tell(stage.db, changed(stage, 5, then))
    await stays(stage, answered)


async def test_a_revoked_key_is_refused_beside_the_page_and_the_others_go_on(stage: Stage) -> None:
    await stage.set_up()
    text = a_key_text(f"other {stage.slug}".replace("-", "").replace(" ", "").rjust(43, "1"))
    other = replace(
        stage.credential, id=an_id(f"other {stage.slug}"), sha256=hashlib.sha256(text.encode()).hexdigest()
    )
    await tell(stage.db, only(keys=[other]))
    await stage.serve()
    others = neighbours(stage, 1)
    (busy,) = others.subscriptions
    await tell(stage.db, others)
    async with page(stage, Gate(put_of(stage, f"consumer.{busy}"))) as serving:
        await tell(stage.db, only(keys=[replace(stage.credential, version=2, status="revoked")]))
        await until(lambda: ("PUT", stage.credential.id) in serving.done)
        answer = await stage.call()
        assert (answer.status_code, answer.json()["code"]) == (401, "REVOKED_API_KEY")
        assert (await stage.call(key=text)).status_code == 200
        assert serving.wrote("PUT", f"consumer.{busy}") == 0
    assert await stage.plan() == []


async def test_a_scope_is_taken_from_a_key_beside_the_page(stage: Stage) -> None:
    key = replace(stage.credential, scopes=("read", "write"))
    await tell(stage.db, stage.tables)
    await tell(stage.db, only(keys=[replace(key, version=2)]))
    await stage.reconcile()
    others = neighbours(stage, 1)
    (busy,) = others.subscriptions
    await tell(stage.db, others)
    async with page(stage, Gate(put_of(stage, f"consumer.{busy}"))) as serving:
        await tell(stage.db, only(keys=[replace(key, version=3, scopes=("read",))]))
        await until(lambda: serving.wrote("DELETE", f"consumer-share.{key.id}.acl.write") == 1)
        assert serving.wrote("PUT", f"consumer.{busy}") == 0
    assert serving.wrote("DELETE", f"consumer-share.{key.id}.acl.read") == 0
    assert await stage.plan() == []


async def test_a_note_that_stops_nobody_does_not_hold_the_page_up(stage: Stage) -> None:
    await stage.set_up()
    others = neighbours(stage, 1)
    (busy,) = others.subscriptions
    await tell(stage.db, others)
    async with page(stage, Gate(put_of(stage, f"consumer.{busy}"))) as serving:
        await tell(stage.db, changed(stage, 2, "paused"))
        await tell(stage.db, changed(stage, 3, "active"))
        await until(lambda: serving.server.lane.seen != set())
        assert of(stage) not in serving.server.lane.fence.overtaken
    await stays(stage, 200)


def of(stage: Stage) -> Owner:
    return Owner(Concern.SUBSCRIPTION, stage.subscription.id)


async def test_while_kong_does_not_answer_it_is_tried_again_and_not_left_to_the_next_page(
    stage: Stage,
) -> None:
    await stage.set_up()
    others = neighbours(stage, 1)
    (other,) = others.subscriptions
    await tell(stage.db, others)
    acl = f"consumer.{stage.subscription.id}.acl"
    async with page(stage, Gate(put_of(stage, f"consumer.{other}"))) as serving:
        failed: list[str] = []

        def fault(_: int, request: httpx.Request) -> str | None:
            if request.method == "PUT" or len(failed) == 2:
                return None
            failed.append(request.url.path)
            return "before"

        serving.transport.fault = fault
        await tell(stage.db, changed(stage, 2, "paused"))
        await until(lambda: serving.wrote("DELETE", acl) == 1)
        assert len(failed) == 2
    await stays(stage, 403)


async def test_one_that_is_refused_is_tried_by_the_page_and_not_over_and_over(stage: Stage) -> None:
    await stage.set_up()
    others = neighbours(stage, 1)
    (other,) = others.subscriptions
    await tell(stage.db, others)
    acl = stage.gateway.edge.id_of(f"consumer.{stage.subscription.id}.acl")
    async with page(stage, Gate(put_of(stage, f"consumer.{other}"))) as serving:
        serving.transport.fault = lambda _, request: 409 if request.url.path.endswith(acl) else None
        await tell(stage.db, changed(stage, 2, "paused"))
        await until(lambda: serving.server.lane.seen != set())
    tried = [path for _, path, _ in serving.transport.writes if path.endswith(acl)]
    assert len(tried) == 2  # beside the page, and in the next one
    assert list(serving.server.served.failures) == [Owner(Concern.SUBSCRIPTION, stage.subscription.id)]
    stage.clock.set(NOW + timedelta(seconds=15))
    await stage.serve()
    await stays(stage, 403)


class Gone(Database):
    """A database that went away. `asked` is set when somebody has noticed."""

    def __init__(self) -> None:
        super().__init__("postgresql+asyncpg://nobody@127.0.0.1:9/nothing", name="gone")
        self.asked = asyncio.Event()

    @asynccontextmanager
    async def begin(self, scope: Scope | None = None) -> AsyncIterator[AsyncSession]:
        self.asked.set()
        async with super().begin(scope) as session:
            yield session


async def test_a_page_does_not_go_on_when_nobody_stops_any_more(stage: Stage) -> None:
    await stage.set_up()
    others, gone = neighbours(stage, 2), Gone()
    await tell(stage.db, others)
    first = put_of(stage, f"consumer.{min(others.subscriptions)}")
    with pytest.raises(OSError, match="9"):
        async with page(stage, Gate(first)) as serving:
            serving.server.lane.db = gone
            await gone.asked.wait()
    assert not [path for _, path in serving.transport.done if "/acls/" in path]
    assert (await stage.reconcile()).outcome is Outcome.APPLIED
    await stays(stage, 200)


async def test_an_event_at_the_very_end_of_a_pass_does_not_keep_it_from_ending(stage: Stage) -> None:
    interrupt = asyncio.Event()
    for steps in range(6):  # between the event and the end of the pass
        server = DueServer(stage.db, stage.gateway, stage.clock, lambda: None, interrupt)
        async with asyncio.timeout(20), server.stopping():
            await asyncio.sleep(0.03)  # it waits for the next event
            interrupt.set()
            for _ in range(steps):
                await asyncio.sleep(0)
