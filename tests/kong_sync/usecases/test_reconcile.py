"""One pass makes the gateway equal to our tables; a second one makes no change; a key works, or says why not."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from catalog.domain.upstream_secret import derive_secret
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import ApiSettings
from kong_sync.domain.report import Outcome
from kong_sync.usecases.reconcile import reconcile
from tests.gateway.keys import a_key as a_key_text
from tests.kong_sync.double import MASTER
from tests.kong_sync.factories import (
    NOW,
    a_phase,
    a_quota,
    an_id,
    only,
)  # fmt: skip
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage
from tests.support.outbox import outbox_events


def headers_of(head: str) -> dict[str, str]:
    return {
        name.lower(): value
        for name, _, value in (line.partition(": ") for line in head.splitlines()[1:])
        if value
    }


async def test_after_one_pass_the_key_works_and_the_next_plan_is_empty(stage: Stage) -> None:
    report = await stage.set_up()
    assert (report.outcome, report.failures, report.canary_seen) == (Outcome.APPLIED, {}, True)
    assert await stage.plan() == []
    assert (await stage.reconcile()).outcome is Outcome.EQUAL
    answer = await stage.call()
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["X-RateLimit-Limit"] == "60"
    assert answer.headers["X-Request-Id"] == answer.headers["X-Kong-Request-Id"]


async def test_the_provider_learns_who_calls_but_neither_key_nor_digest(stage: Stage) -> None:
    await stage.set_up()
    await stage.call()
    (head,) = stage.upstream.heads
    assert head.startswith("GET /base/things?a=1 HTTP/1.1")
    assert f"X-Consumer-Custom-ID: {stage.subscription.id}".lower() in head.lower()
    assert f"X-Credential-Identifier: {stage.credential.id}".lower() in head.lower()
    assert stage.key not in head
    assert stage.credential.sha256 not in head


async def test_the_provider_can_verify_who_calls_and_rotate_without_a_gap(stage: Stage) -> None:
    await stage.set_up()
    await stage.call()
    first = headers_of(stage.upstream.heads[-1])
    old = derive_secret(MASTER, UUID(stage.api.id), 1)
    assert first["x-marketplace-subscription"] == stage.subscription.id
    assert first["x-marketplace-organisation"] == stage.subscription.organisation_id
    assert first["x-marketplace-plan"] == stage.subscription.plan_version_id
    assert (first["x-marketplace-mode"], first["x-marketplace-secret"]) == ("live", old.secret)
    rotated = replace(stage.api, version=2, upstream_epoch=2)
    await tell(stage.db, only(apis=[rotated]))
    await stage.reconcile()
    await stage.call()
    new = derive_secret(MASTER, UUID(stage.api.id), 2)
    second = headers_of(stage.upstream.heads[-1])
    assert second["x-marketplace-secret"] == f"{new.secret}, {old.secret}"
    assert len(second["x-marketplace-signature"].split(", ")) == 2
    dump = str(await stage.gateway.admin.dump(stage.gateway.edge.selector))
    assert not [s for s in (MASTER, old.secret, old.signing_secret, new.secret) if s in dump]
    assert await stage.plan() == []


async def test_each_pass_tells_only_what_changed(stage: Stage) -> None:
    await stage.set_up()
    await stage.reconcile()
    assert await stage.states() == {
        "kong-sync.api.v1": ["pending", "live"],
        "kong-sync.subscription.v1": ["pending", "live"],
    }
    api = (await outbox_events(stage.db, "kong-sync.api.v1"))[-1]["payload"]
    assert api["proxy_url"] == f"{stage.double.proxy_url}/{stage.slug}/pay/v1"


async def test_a_wrong_key_and_no_key_are_told_apart(stage: Stage) -> None:
    await stage.set_up()
    wrong = await stage.call(key=a_key_text("z" * 43))
    assert (wrong.status_code, wrong.json()["code"]) == (401, "INVALID_API_KEY")
    assert wrong.headers["content-type"] == "application/problem+json"
    digest = await stage.call(key=stage.credential.sha256)
    assert digest.json()["code"] == "INVALID_API_KEY"
    async with httpx.AsyncClient(base_url=stage.double.proxy_url) as client:
        missing = await client.get(f"/{stage.slug}/pay/v1/things")
    assert (missing.status_code, missing.json()["code"]) == (401, "MISSING_API_KEY")
    assert stage.upstream.heads == []


async def test_a_revoked_key_stops_and_says_so(stage: Stage) -> None:
    await stage.set_up()
    await tell(
        stage.db,
        only(keys=[replace(stage.credential, version=2, status="revoked")]),
    )
    assert (await stage.reconcile()).outcome is Outcome.APPLIED
    answer = await stage.call()
    assert (answer.status_code, answer.json()["code"]) == (401, "REVOKED_API_KEY")
    assert await stage.plan() == []


async def test_a_key_past_its_expiry_says_so_without_a_pass(stage: Stage) -> None:
    expired = replace(stage.credential, version=2, status="expiring", expires_at=NOW - timedelta(days=1))
    await tell(stage.db, stage.tables)
    await tell(stage.db, only(keys=[expired]))
    await stage.reconcile()
    answer = await stage.call()
    assert (answer.status_code, answer.json()["code"]) == (401, "EXPIRED_API_KEY")


@pytest.mark.parametrize("status", ["past_due", "paused", "canceled"])
async def test_a_stopped_subscription_is_refused_and_comes_back(stage: Stage, status: str) -> None:
    await stage.set_up()
    stopped = replace(stage.subscription, version=2, status=status)
    await tell(stage.db, only(subscriptions=[stopped]))
    await stage.reconcile()
    answer = await stage.call()
    assert (answer.status_code, answer.json()["code"]) == (403, "SUBSCRIPTION_INACTIVE")
    await tell(
        stage.db,
        only(subscriptions=[replace(stopped, version=3, status="active")]),
    )
    await stage.reconcile()
    assert (await stage.call()).status_code == 200


async def test_a_reached_quota_stops_until_its_period_ends_by_itself(stage: Stage) -> None:
    quota = a_quota(subscription_id=stage.subscription.id, state="reached")
    await tell(stage.db, stage.tables)
    await tell(stage.db, only(quotas=[quota]))
    report = await stage.reconcile()
    assert report.next_deadline == quota.until
    answer = await stage.call()
    assert (answer.status_code, answer.json()["code"]) == (429, "QUOTA_EXCEEDED")
    assert int(answer.headers["Retry-After"]) >= 1
    stage.clock.set(quota.until)
    await stage.reconcile()
    assert (await stage.call()).status_code == 200


async def test_the_providers_answer_reports_units_and_cannot_speak_for_the_gateway(
    stage: Stage, tmp_path: Path
) -> None:
    stage.subscription = replace(stage.subscription, phases=(a_phase(units_header="x-rows"),))
    log = tmp_path / "log"
    stage.gateway = replace(stage.gateway, edge=replace(stage.gateway.edge, file_log_path=str(log)))
    stage.upstream.headers = {
        "X-Rows": "12", "X-Error-Code": "QUOTA_EXCEEDED", "X-RateLimit-Remaining-Day": "0",
        "X-RateLimit-Limit-Day": "1",        "X-RateLimit-Remaining-Minute": "0", "X-Request-Id": "theirs",
    }  # fmt: skip
    await stage.set_up()
    answer = await stage.call()
    assert (answer.status_code, answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == (
        200, "60", "59"
    )  # fmt: skip
    assert answer.headers["X-RateLimit-Remaining-Minute"] == "59"
    assert not {"x-rows", "x-error-code", "x-ratelimit-remaining-day"} & {n.lower() for n in answer.headers}
    assert answer.headers["X-Request-Id"] == answer.headers["X-Kong-Request-Id"]
    (entry,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert entry["usage_units"] == 12
    assert await stage.plan() == []


async def test_the_rate_limit_holds_and_says_when_to_come_back(stage: Stage) -> None:
    stage.subscription = replace(stage.subscription, phases=(a_phase(limits=Limits(day=2)),))
    await stage.set_up()
    answers = [await stage.call() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["code"] == "RATE_LIMIT_EXCEEDED"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert answers[-1].headers["X-RateLimit-Remaining"] == "0"


async def test_a_restricted_key_has_its_share_and_the_others_have_the_rest(stage: Stage) -> None:
    shared = a_key_text(stage.slug.replace("-", "").rjust(43, "1"))
    sold = replace(stage.subscription, phases=(a_phase(limits=Limits(day=5)),))
    restricted = replace(
        stage.credential, id=an_id(shared), sha256=hashlib.sha256(shared.encode()).hexdigest(),
        share_id=an_id(shared), limits=Limits(day=2),
    )  # fmt: skip
    tables = replace(
        stage.tables, subscriptions={sold.id: sold}, keys={k.id: k for k in (stage.credential, restricted)}
    )
    await tell(stage.db, tables)
    await stage.reconcile()
    assert [(await stage.call(key=shared)).status_code for _ in range(4)] == [200, 200, 429, 429]
    assert [(await stage.call()).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert await stage.plan() == []


async def test_a_key_of_another_api_is_told_to_subscribe(stage: Stage) -> None:
    other = replace(stage.api, id=an_id(f"other {stage.slug}"), slug="other")
    version = replace(stage.version, id=an_id(f"ov {stage.slug}"), api_id=other.id)
    await stage.set_up()
    await tell(stage.db, only(apis=[other], versions=[version]))
    await stage.reconcile()
    answer = await stage.call("/other/v1/x")
    assert (answer.status_code, answer.json()["code"]) == (403, "SUBSCRIPTION_NOT_FOUND")


async def test_what_no_api_answers_under_the_providers_path_is_ours_and_elsewhere_kongs(stage: Stage) -> None:
    await stage.set_up()
    ours = await stage.call("/nothing/here")
    assert (ours.status_code, ours.json()["code"]) == (404, "API_NOT_FOUND")
    async with httpx.AsyncClient(base_url=stage.double.proxy_url) as client:
        kongs = await client.get("/elsewhere")
    assert kongs.json()["message"] == "no Route matched with those values"


async def test_a_version_is_not_taken_for_a_longer_one(stage: Stage) -> None:
    await stage.set_up()
    await stage.call("/pay/v10/things")
    assert stage.upstream.heads[-1].startswith("GET /base/v10/things ")


async def test_a_version_says_that_it_is_going_and_is_gone_without_a_write(stage: Stage) -> None:
    v2 = replace(stage.version, id=an_id(f"v2 {stage.slug}"), name="v2")
    sunset_at = NOW.replace(microsecond=0) + timedelta(days=36_500)
    going = replace(
        stage.version, state="deprecated", is_latest=False, deprecated_at=NOW, sunset_at=sunset_at
    )
    await tell(stage.db, only(versions=[going, v2]))
    report = await stage.set_up()
    assert report.next_deadline == sunset_at
    answer = await stage.call()
    assert (answer.status_code, answer.headers["Deprecation"]) == (200, f"@{int(NOW.timestamp())}")
    assert parsedate_to_datetime(answer.headers["Sunset"]) == sunset_at
    assert answer.headers["Link"] == f'</{stage.slug}/pay/v2>; rel="successor-version"'
    assert "Deprecation" not in (await stage.call("/pay/v2/things")).headers
    assert await stage.plan() == []

    gone = replace(
        going, version=9, sunset_at=NOW - timedelta(days=3_650)
    )  # before now on the gateway's clock
    await tell(stage.db, only(versions=[gone]))
    await stage.reconcile()
    answer = await stage.call()
    assert (answer.status_code, answer.json()["code"]) == (410, "API_VERSION_SUNSET")
    assert answer.headers["Link"] == f'</{stage.slug}/pay/v2>; rel="successor-version"'
    assert (await stage.call("/pay/v2/things")).status_code == 200
    assert await stage.plan() == []


async def retell(stage: Stage, **changes: Any) -> None:
    """The API as catalog tells it next, in the gateway."""
    stage.api = replace(stage.api, version=stage.api.version + 1, **changes)
    await tell(stage.db, only(apis=[stage.api]))
    await stage.reconcile()
    assert await stage.plan() == []


async def test_the_providers_settings_hold_and_go_again(stage: Stage) -> None:
    await stage.set_up()
    await retell(
        stage,
        settings=ApiSettings(max_body_mb=1, set_headers=(("x-tenant", "m"),), remove_headers=("x-debug",)),
    )
    headers = {"X-API-Key": stage.key, "X-Tenant": "forged", "X-Debug": "1"}
    async with httpx.AsyncClient(base_url=stage.double.proxy_url) as client:
        path = f"/{stage.slug}/pay/v1/things"
        assert (await client.get(path, headers=headers)).status_code == 200
        large = await client.post(path, headers=headers, content=b"x" * (2**20 + 1))
    head = headers_of(stage.upstream.heads[-1])
    assert (head["x-tenant"], "x-debug" in head) == ("m", False)
    assert (large.status_code, large.json()["code"]) == (413, "REQUEST_TOO_LARGE")
    await retell(stage, settings=ApiSettings(blocked_ips=("127.0.0.0/8",)))
    answer = await stage.call()
    assert (answer.status_code, answer.json()["code"]) == (403, "IP_BLOCKED")
    await retell(stage, settings=ApiSettings())
    assert (await stage.call()).status_code == 200


@pytest.mark.parametrize(
    "closed",
    [{"status": "suspended"}, {"settings": ApiSettings(in_maintenance=True)}],
    ids=["stopped", "at-work"],
)
async def test_a_closed_api_says_when_to_come_back_and_reaches_nobody(
    stage: Stage, closed: dict[str, Any]
) -> None:
    await stage.set_up()
    await retell(stage, **closed)
    answer = await stage.call()
    assert (answer.status_code, answer.json()["code"]) == (503, "API_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) >= 300
    assert stage.upstream.heads == []
    await retell(stage, status="published", settings=ApiSettings())
    assert (await stage.call()).status_code == 200


async def test_a_retired_api_leaves_the_gateway_route_first(stage: Stage) -> None:
    await stage.set_up()
    retired = replace(stage.api, version=2, status="retired")
    await tell(stage.db, only(apis=[retired]))
    assert (await stage.plan())[0].startswith("- routes")
    report = await stage.reconcile()
    assert report.plan.withheld == ()
    assert (await stage.call()).status_code == 404
    assert (await stage.states())["kong-sync.api.v1"][-1] == "not_provisioned"
    assert await stage.plan() == []


async def test_a_hand_edit_and_a_hand_delete_are_undone_and_foreign_things_left_alone(stage: Stage) -> None:
    await stage.set_up()
    admin = httpx.AsyncClient(base_url=stage.double.admin_url)
    edge = stage.gateway.edge
    service, route = edge.id_of(f"service.{stage.version.id}"), edge.id_of(f"route.{stage.version.id}")
    await admin.patch(f"/services/{service}", json={"host": "evil.example"})
    await admin.delete(f"/routes/{route}")
    # it carries our tags, but its id does not follow from them
    foreign = (await admin.post("/services", json={
        "name": f"foreign-{edge.namespace}", "url": "http://127.0.0.1:9", "tags": edge.tags("service.x"),
    })).json()  # fmt: skip
    assert await stage.plan() == [
        f"~ services {stage.slug}.pay.v1.{stage.version.id[-8:]} {service} (host)",
        f"+ routes route.{stage.version.id} {route}",
    ]
    await stage.reconcile()
    assert (await stage.call()).status_code == 200
    assert await stage.plan() == []
    assert (await admin.get(f"/services/{foreign['id']}")).json()["name"] == foreign["name"]
    await admin.aclose()


async def test_an_emptied_database_deletes_nothing(stage: Stage) -> None:
    await stage.set_up()
    async with stage.db.begin() as session:
        for table in ("api_copy", "api_version_copy", "subscription_copy", "api_key_copy"):
            await session.execute(text(f"DELETE FROM {table}"))
    report = await stage.reconcile()
    assert report.outcome is Outcome.PARTLY
    assert len(report.plan.withheld) > 5
    assert (await stage.call()).status_code == 200


async def test_switched_off_nothing_is_written_and_it_catches_up_later(stage: Stage) -> None:
    await tell(stage.db, stage.tables)
    off = replace(stage.gateway, enabled=False)
    report = await reconcile(stage.db, off, clock=stage.clock, stop=asyncio.Event())
    assert report.outcome is Outcome.SWITCHED_OFF
    assert (await stage.states())["kong-sync.api.v1"] == ["not_provisioned"]
    assert (await stage.call()).status_code == 404
    assert (await stage.reconcile()).outcome is Outcome.APPLIED
    assert (await stage.states())["kong-sync.api.v1"] == ["not_provisioned", "pending", "live"]
    assert (await stage.call()).status_code == 200
