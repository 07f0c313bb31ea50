"""One pass puts a marketplace into a Kong that others use too, the next has nothing to do, and nobody else notices."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from common.db import Database
from kong_sync.clients.gateway import Gateway
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import Endpoint
from kong_sync.domain.report import Outcome
from tests.gateway.keys import a_key as a_key_text
from tests.kong_contract.corner import Corner, until
from tests.kong_contract.listener import Listener
from tests.kong_contract.market import gateway_of
from tests.kong_contract.operator import Operator
from tests.kong_sync.factories import a_phase, an_id, only, some_tables
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage
from tests.support.clock import FixedClock
from tests.support.outbox import outbox_events


@pytest.fixture
def service() -> str:
    return "kong_sync"


@pytest.fixture
async def gateway(corner: Corner, sink: Listener) -> AsyncIterator[Gateway]:
    made = gateway_of(corner, sink)
    yield made
    await made.close()


@pytest.fixture
def stage(
    worker_db: Database, gateway: Gateway, clock: FixedClock, corner: Corner, upstream: Listener
) -> Stage:
    return Stage(worker_db, gateway, clock, corner.target, upstream)


@pytest.fixture
async def operator(corner: Corner, upstream: Listener) -> Operator:
    made = Operator(corner, upstream)
    await made.set_up()
    return made


async def settled(stage: Stage, corner: Corner, path: str, *, status: int) -> dict[str, Any]:
    """The parsed answer to a call with the subscription's key, once every worker gives it."""
    answer = await corner.settled(f"/{stage.slug}{path}", [("X-API-Key", stage.key)], status=status)
    return dict(answer.json()) if status != 200 else {}


async def test_after_one_pass_the_key_works_and_the_second_plan_is_empty(
    stage: Stage, corner: Corner, operator: Operator
) -> None:
    before = await operator.picture()
    report = await stage.set_up()
    assert (report.outcome, report.failures, report.canary_seen) == (Outcome.APPLIED, {}, True)
    assert await stage.plan() == []
    assert (await stage.reconcile()).outcome is Outcome.EQUAL
    assert [(await stage.call()).status_code for _ in range(4)] == [200] * 4  # live means live
    assert (await stage.states())["kong-sync.subscription.v1"] == ["pending", "live"]
    assert await operator.picture() == before


async def test_a_hand_edit_and_a_hand_delete_are_mended(
    stage: Stage, corner: Corner, operator: Operator
) -> None:
    await stage.set_up()
    before = await operator.picture()
    edge = stage.gateway.edge
    service, route = edge.id_of(f"service.{stage.version.id}"), edge.id_of(f"route.{stage.version.id}")
    await corner.admin.patch(f"/services/{service}", json={"retries": 9})
    await corner.admin.delete(f"/routes/{route}")
    assert len(await stage.plan()) == 2
    assert (await stage.reconcile()).outcome is Outcome.APPLIED
    assert await stage.plan() == []
    await settled(stage, corner, "/pay/v1/mended", status=200)
    assert await operator.picture() == before


async def test_a_key_that_somebody_else_holds_stays_theirs_and_is_in_no_word_of_ours(
    stage: Stage, corner: Corner, operator: Operator
) -> None:
    digest = stage.credential.sha256
    await operator.take(digest)
    before = await operator.picture()
    report = await stage.set_up()
    (failure,) = report.failures.values()
    assert report.outcome is Outcome.PARTLY
    assert (await stage.states())["kong-sync.subscription.v1"][-1] == "failed"
    told = json.dumps([event["payload"] for event in await outbox_events(stage.db)])
    assert [text for text in (failure, told) if digest in str(text) or stage.key in str(text)] == []
    assert await operator.picture() == before
    await settled(stage, corner, "/pay/v1/theirs", status=403)  # a key of somebody's, in no group of ours


async def test_a_stop_is_in_force_and_comes_undone(stage: Stage, corner: Corner) -> None:
    await stage.set_up()
    for version, status, expected in ((2, "past_due", 403), (3, "active", 200)):
        changed = replace(stage.subscription, version=version, status=status)
        await tell(stage.db, some_tables(apis=[], versions=[], keys=[], subscriptions=[changed]))
        assert (await stage.reconcile()).outcome is Outcome.APPLIED
        problem = await settled(stage, corner, "/pay/v1/stop", status=expected)
        assert problem.get("code") == (None if status == "active" else "SUBSCRIPTION_INACTIVE")
        assert await stage.plan() == []


async def test_a_key_with_scopes_passes_where_it_holds_all_that_are_asked_for(
    stage: Stage, corner: Corner, operator: Operator, upstream: Listener, sink: Listener
) -> None:
    before = await operator.picture()
    endpoints = (
        Endpoint("GET", "/things/{id}", ("read",)),
        Endpoint("GET", "/things/secret", ("a/b", "read")),
        Endpoint("POST", "/things/{id}", ("write",)),
        Endpoint("GET", "/open", ()),
        Endpoint("GET", "/silent", None),
    )
    keys = {"read": ("read",), "both": ("a/b", "read")}
    name = stage.gateway.edge.namespace
    texts = {word: a_key_text(f"{name}{word}".ljust(43, "0")) for word in keys}
    credentials = [
        replace(
            stage.credential, id=an_id(text), sha256=hashlib.sha256(text.encode()).hexdigest(), share_id=an_id(text),
            scopes=keys[word],
        )
        for word, text in texts.items()
    ]  # fmt: skip
    told = some_tables(
        apis=[stage.api], versions=[replace(stage.version, endpoints=endpoints)],
        subscriptions=[replace(stage.subscription, phases=(a_phase(limits=Limits(hour=9_000)),))],
        keys=[stage.credential, *credentials],
    )  # fmt: skip
    await tell(stage.db, told)
    report = await stage.reconcile()
    assert (report.outcome, report.failures, await stage.plan()) == (Outcome.APPLIED, {}, [])

    async def calls(key: str, *paths: str) -> list[int]:
        return [
            (await corner.get(f"/{stage.slug}/pay{path}", [("X-API-Key", key)])).status_code for path in paths
        ]

    paths = (
        "/v1/things/7",
        "/v1/things/secret",
        "/v1/open",
        "/v1/silent",
        "/v1/other",
        "/things/7",
        "/things/secret",
    )
    for key, expected in (
        (texts["read"], [200, 403, 200, 403, 403, 200, 403]),
        (texts["both"], [200, 200, 200, 403, 403, 200, 200]),
        (stage.key, [200] * 7),
    ):
        assert await calls(key, *paths) == expected
    refused = await settled_for(corner, stage, texts["read"], "/v1/things/secret", status=403)
    assert (refused["code"], refused["required_scopes"]) == ("INSUFFICIENT_SCOPE", ["a/b", "read"])
    silent = await settled_for(corner, stage, texts["read"], "/v1/silent", status=403)
    assert (silent["code"], "required_scopes" in silent) == ("INSUFFICIENT_SCOPE", False)

    upstream.heads.clear()
    answer = await corner.get(f"/{stage.slug}/pay/v1/things/%C3%BC%20?a=1", [("X-API-Key", texts["both"])])
    (scoped,) = upstream.heads
    await corner.get(f"/{stage.slug}/pay/v1/other/%C3%BC%20?a=1", [("X-API-Key", stage.key)])
    (_, plain) = upstream.heads
    assert scoped.split("\r\n")[0] == plain.split("\r\n")[0].replace("/other/", "/things/")
    assert "\r\nx-marketplace-scopes: a/b read\r\n" in scoped.lower()
    assert "x-marketplace-scopes" not in plain.lower()
    prefix = f"\r\nx-forwarded-prefix: /{stage.slug}/pay/v1/\r\n"
    assert prefix in scoped.lower()
    assert prefix in plain.lower()

    async def entry() -> list[dict[str, Any]]:
        logged = [entry for body in sink.bodies for entry in json.loads(body)]
        wanted = answer.headers["X-Kong-Request-Id"]
        return [one for one in logged if one["request"]["id"] == wanted]

    (logged,) = await until(entry, lambda found: len(found) == 1)
    assert {f"api:{stage.api.id}", f"version:{stage.version.id}"} <= set(logged["route"]["tags"])
    assert f"subscription:{stage.subscription.id}" in logged["consumer"]["tags"]

    moved = (Endpoint("GET", "/things/{id}", ("write",)), Endpoint("GET", "/silent", ("read",)))
    await tell(stage.db, only(versions=[replace(stage.version, version=2, endpoints=moved)]))
    assert (await stage.serve()).outcome is Outcome.APPLIED
    assert await stage.plan() == []
    await settled_for(corner, stage, texts["read"], "/v1/silent", status=200)
    await settled_for(corner, stage, texts["read"], "/v1/things/7", status=403)
    await settled_for(corner, stage, stage.key, "/v1/things/7", status=200)

    await tell(stage.db, only(versions=[replace(stage.version, version=3)]))
    assert (await stage.serve()).outcome is Outcome.APPLIED
    assert await stage.plan() == []
    left = [route["name"] for route in await corner.listed("routes")]
    assert [name for name in left if name.startswith("route-scopes")] == []
    await settled_for(corner, stage, texts["read"], "/v1/silent", status=403)
    assert await operator.picture() == before


async def settled_for(corner: Corner, stage: Stage, key: str, path: str, *, status: int) -> dict[str, Any]:
    """The parsed answer to a call with `key`, once every worker gives it."""
    answer = await corner.settled(f"/{stage.slug}/pay{path}", [("X-API-Key", key)], status=status)
    return dict(answer.json()) if status != 200 else {}


async def test_a_retired_api_goes_and_the_operators_things_stay(
    stage: Stage, corner: Corner, operator: Operator
) -> None:
    before = await operator.picture()
    await stage.set_up()
    retired = replace(stage.api, version=2, status="retired")
    await tell(stage.db, some_tables(apis=[retired], versions=[], subscriptions=[], keys=[]))
    report = await stage.reconcile()
    assert (report.outcome, report.plan.withheld) == (Outcome.APPLIED, ())
    assert await stage.plan() == []
    gone = await settled(stage, corner, "/pay/v1/things", status=404)
    assert gone["message"] == "no Route matched with those values"  # the provider has no other API
    assert await operator.picture() == before


async def test_the_operators_calls_are_not_metered(
    stage: Stage, corner: Corner, operator: Operator, sink: Listener
) -> None:
    await stage.set_up()
    theirs: list[bytes] = []
    ours: set[str] = set()
    for _ in range(6):  # in turn: what is metered of theirs would be sent before the last of ours
        theirs += (await operator.call_all()).values()
        answer = await stage.call()
        assert answer.status_code == 200
        ours.add(answer.headers["X-Kong-Request-Id"])

    async def logged() -> list[dict[str, Any]]:
        return [entry for body in sink.bodies for entry in json.loads(body)]

    entries = await until(logged, lambda found: ours <= {entry["request"]["id"] for entry in found})
    services = {entry.get("service", {}).get("name", "none: a path that nobody answers") for entry in entries}
    assert {name.split(".")[0] for name in services} <= {
        stage.slug,
        corner.name,
    }  # the API's, and the probe's
    assert operator.key not in json.dumps(entries)
    assert len(theirs) == 36
    assert [answer for answer in theirs if b"problem+json" in answer or b"X-Error-Code" in answer] == []
