"""Whatever fails in between, the next pass ends in an empty plan."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from kong_sync.clients.http1 import Http1
from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.clients.kong_proxy import KongProxy
from kong_sync.domain.limits import Limits
from kong_sync.domain.report import Outcome
from kong_sync.usecases import show_canary as canary
from kong_sync.usecases.reconcile import reconcile
from tests.kong_sync.double import Double, Faulty
from tests.kong_sync.factories import a_phase, a_subscription, an_api, an_id, only
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage


@pytest.mark.parametrize("fault", ["before", "after", "slow", 500])
async def test_a_failure_at_any_write_is_mended_by_the_next_pass(
    stage: Stage, faults: Faulty, fault: str | int
) -> None:
    await tell(stage.db, stage.tables)
    failed_at = -1
    while True:  # each pass gets one write further than the one before
        failed_at += 1
        start = len(faults.writes)
        faults.fault = lambda number, _, at=start + 2 * failed_at: fault if number == at else None  # type: ignore[misc]
        report = await stage.reconcile()
        if report.outcome is not Outcome.UNAVAILABLE:
            break
        assert (await stage.states())["kong-sync.api.v1"][-1] == "pending"
    assert failed_at > 3
    assert report.canary_seen is True
    faults.fault = lambda _, __: None
    assert await stage.plan() == []
    assert (await stage.call()).status_code == 200
    assert (await stage.states())["kong-sync.api.v1"][-1] == "live"


async def test_with_the_admin_api_away_new_wishes_wait_and_live_ones_stay(
    stage: Stage, faults: Faulty
) -> None:
    await stage.set_up()
    away = replace(stage.gateway, admin=KongAdmin("http://127.0.0.1:1", attempts=2))
    other = replace(stage.api, id=an_id(f"other {stage.slug}"), slug="other")
    await tell(stage.db, only(apis=[other]))
    report = await reconcile(stage.db, away, clock=stage.clock, stop=asyncio.Event())
    assert report.outcome is Outcome.UNAVAILABLE
    assert report.error is not None
    assert (await stage.states())["kong-sync.api.v1"] == ["pending", "live", "pending"]
    await away.admin.close()


async def test_a_refused_entity_fails_alone_with_kongs_words(stage: Stage, faults: Faulty) -> None:
    poisoned = a_subscription(id=an_id(f"poison {stage.slug}"), api_id=stage.api.id)
    await tell(stage.db, only(subscriptions=[poisoned]))
    consumer = stage.gateway.edge.id_of(f"consumer.{poisoned.id}")
    faults.fault = lambda _, request: 400 if request.url.path.endswith(consumer) else None
    report = await stage.set_up()
    assert {owner.id: reason for owner, reason in report.failures.items()} == {
        poisoned.id: "The gateway refused it: the test says no"
    }
    assert (await stage.call()).status_code == 200
    assert sorted(set((await stage.states())["kong-sync.subscription.v1"])) == ["failed", "live", "pending"]
    # nothing else of it was tried: a consumer without its limits must get no access
    assert not [path for _, path, _ in faults.writes if consumer in path and not path.endswith(consumer)]


async def test_a_service_whose_guard_is_refused_gets_no_route(stage: Stage, faults: Faulty) -> None:
    plugin = stage.gateway.edge.id_of(f"plugin.{stage.version.id}.key-auth")
    faults.fault = lambda _, request: 409 if request.url.path.endswith(plugin) else None
    report = await stage.set_up()
    (reason,) = report.failures.values()
    assert reason.startswith("Something in the gateway that is not ours is in the way")
    assert (await stage.call()).json()["code"] == "API_NOT_FOUND"
    assert stage.upstream.heads == []


async def test_guards_stay_while_a_route_that_could_not_be_moved_still_leads_to_them(
    stage: Stage, faults: Faulty
) -> None:
    await stage.set_up()
    second = replace(stage.version, id=an_id(f"v2 {stage.slug}"), name="v2")
    withdrawn = replace(stage.version, version=2, state="unheard-of", is_latest=False)
    await tell(stage.db, only(versions=[second, withdrawn]))
    edge = stage.gateway.edge
    latest, key_auth = (
        edge.id_of(f"route-latest.{stage.api.id}"),
        edge.id_of(f"plugin.{withdrawn.id}.key-auth"),
    )
    faults.fault = lambda _, request: 400 if request.url.path.endswith(latest) else None
    await stage.reconcile()
    assert not [path for method, path, _ in faults.writes if method == "DELETE" and path.endswith(key_auth)]
    faults.fault = lambda _, __: None
    await stage.reconcile()
    assert [path for method, path, _ in faults.writes if method == "DELETE" and path.endswith(key_auth)]
    assert await stage.plan() == []
    assert (await stage.call("/pay/x")).status_code == 200


async def test_access_waits_for_the_limits_to_be_loaded(stage: Stage, faults: Faulty) -> None:
    def nothing(_: httpx.Request) -> httpx.Response:
        return httpx.Response(404, text="no Route matched with those values")

    blind = KongProxy("http://proxy", transport=httpx.MockTransport(nothing))
    unseen = replace(stage.gateway, proxy=blind, canary_timeout_seconds=0.05)
    await tell(stage.db, stage.tables)
    report = await reconcile(stage.db, unseen, clock=stage.clock, stop=asyncio.Event())
    assert (report.outcome, report.canary_seen) == (Outcome.PARTLY, False)
    assert "404" in str(report.error)
    subscriptions_acl = stage.gateway.edge.id_of(f"consumer.{stage.subscription.id}.acl")
    assert not [
        path for _, path, _ in faults.writes if path.endswith((subscriptions_acl, stage.credential.id))
    ]
    assert (await stage.states())["kong-sync.subscription.v1"] == ["pending", "pending"]

    # still blind: what an earlier pass wrote has not been seen either
    await reconcile(stage.db, unseen, clock=stage.clock, stop=asyncio.Event())
    assert not [path for _, path, _ in faults.writes if path.endswith(subscriptions_acl)]
    assert (await stage.reconcile()).outcome is Outcome.APPLIED
    assert (await stage.call()).status_code == 200
    await blind.close()


async def test_on_a_node_that_loads_slowly_live_means_loaded(
    stage: Stage, faults: Faulty, tmp_path: Path
) -> None:
    slow = Double(tmp_path, propagation_seconds=0.7)
    await slow.start()
    try:
        stage.double = slow
        stage.gateway = replace(
            stage.gateway, admin=KongAdmin(slow.admin_url, transport=faults), proxy=KongProxy(slow.proxy_url)
        )
        report = await stage.set_up()
        assert (report.outcome, report.canary_seen) == (Outcome.APPLIED, True)
        # the first call ever made finds route, key and limit
        answer = await stage.call()
        assert (answer.status_code, answer.headers["X-RateLimit-Limit"]) == (200, "60")
    finally:
        await slow.kill()


async def test_a_stop_does_not_wait_for_anything(stage: Stage, faults: Faulty) -> None:
    await stage.set_up()
    before = len(faults.writes)
    other = a_subscription(
        id=an_id(f"second {stage.slug}"), api_id=stage.api.id, phases=(a_phase(limits=Limits(day=9)),)
    )
    stopped = replace(stage.subscription, version=2, status="past_due")
    await tell(stage.db, only(subscriptions=[stopped, other]))
    await stage.reconcile()
    edge = stage.gateway.edge
    consumer = edge.id_of(f"consumer.{stopped.id}")
    assert [(method, path) for method, path, _ in faults.writes[before : before + 2]] == [
        ("PUT", f"/consumers/{consumer}"),
        ("DELETE", f"/consumers/{consumer}/acls/{edge.id_of(f'consumer.{stopped.id}.acl')}"),
    ]


async def test_two_replicas_at_once_do_the_work_of_one(stage: Stage, faults: Faulty) -> None:
    await tell(stage.db, stage.tables)
    first, second = await asyncio.gather(stage.reconcile(), stage.reconcile())
    assert {first.outcome, second.outcome} == {Outcome.APPLIED, Outcome.EQUAL}
    assert await stage.plan() == []


async def test_a_gateway_restored_empty_is_filled_again(stage: Stage) -> None:
    await stage.set_up()
    async with httpx.AsyncClient(base_url=stage.double.admin_url) as admin:
        for kind in ("routes", "plugins", "consumers", "services"):
            tags = ",".join(stage.gateway.edge.selector)
            for entity in (await admin.get(f"/{kind}", params={"tags": tags, "size": 1000})).json()["data"]:
                await admin.delete(f"/{kind}/{entity['id']}")
    report = await stage.reconcile()
    assert (report.outcome, report.canary_seen) == (Outcome.APPLIED, True)
    assert (await stage.call()).status_code == 200
    assert await stage.plan() == []


@pytest.mark.parametrize("route", [None, "/_probe/of-an-old-backup"])
async def test_what_cannot_be_loaded_any_more_is_not_waited_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, route: str | None
) -> None:
    """Kong is emptied, or put back, while the limits are waited for: access waits for a look at all of it, at once."""
    monkeypatch.setattr(canary, "_ASK_SECONDS", 0.0)
    await stage.set_up()
    await tell(stage.db, only(subscriptions=[replace(stage.subscription, version=2, status="paused")]))
    await stage.serve()
    edge = stage.gateway.edge

    async def meanwhile(_: httpx.Request) -> httpx.Response:
        address = f"{stage.double.admin_url}/routes/{edge.id_of('route.probe')}"
        async with httpx.AsyncClient(transport=Http1(), trust_env=False) as admin:
            await (admin.patch(address, json={"paths": [route]}) if route else admin.delete(address))
        return httpx.Response(404, text="no Route matched with those values")

    blind = KongProxy("http://proxy", transport=httpx.MockTransport(meanwhile))
    patient = replace(stage.gateway, proxy=blind, canary_timeout_seconds=3600)
    slower = replace(stage.subscription, version=3, phases=(a_phase(limits=Limits(minute=7)),))
    await tell(stage.db, only(subscriptions=[slower]))
    report = await reconcile(stage.db, patient, clock=stage.clock, stop=asyncio.Event(), sweep=False)
    assert (report.outcome, report.sweep_needed) == (Outcome.PARTLY, True)
    assert (await stage.call()).status_code == 403
    assert (await stage.reconcile()).outcome is Outcome.APPLIED
    assert (await stage.call()).headers["X-RateLimit-Limit"] == "7"
    assert await stage.plan() == []
    await blind.close()


async def test_two_apis_may_swap_their_slugs(stage: Stage) -> None:
    other = an_api(
        id=an_id(f"b {stage.slug}"), provider_slug=stage.slug, slug="b", provider_id=stage.api.provider_id
    )
    version = replace(stage.version, id=an_id(f"bv {stage.slug}"), api_id=other.id)
    await stage.set_up()
    await tell(stage.db, only(apis=[other], versions=[version]))
    await stage.reconcile()
    swapped = [replace(stage.api, version=2, slug="b"), replace(other, version=2, slug="pay")]
    await tell(stage.db, only(apis=swapped))
    report = await stage.reconcile()
    assert (report.outcome, report.failures) == (Outcome.APPLIED, {})
    assert (await stage.call("/b/v1/x")).status_code == 200
    assert (await stage.call("/pay/v1/x")).json()["code"] == "SUBSCRIPTION_NOT_FOUND"
