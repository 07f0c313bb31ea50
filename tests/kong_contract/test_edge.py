"""What callers, providers and metering see of the entities that kong-sync writes."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kong_sync.domain.canary import probe_key, probe_path
from kong_sync.domain.entities import Kind
from kong_sync.usecases.show_canary import show_canary
from tests.gateway.keys import a_key
from tests.kong_contract.corner import Corner, Headers, until
from tests.kong_contract.listener import Listener
from tests.kong_contract.market import Market, request_line
from tests.kong_contract.target import Target

UNKNOWN = a_key("n" * 43)
STRIPPED = ("uri", "url", "querystring", "headers")


@pytest.fixture(scope="module")
async def market(target: Target) -> AsyncIterator[Market]:
    """One for all tests of this file: a real Kong takes seconds to load it."""
    async with Listener(target) as upstream, Listener(target) as sink:
        made = Market(Corner(target), upstream, sink)
        try:
            await made.set_up()
            yield made
        finally:
            await made.leave()


@pytest.mark.parametrize("way", ["X-API-Key", "apikey", "Authorization"])
async def test_a_key_opens_its_api_and_reaches_neither_provider_nor_log(market: Market, way: str) -> None:
    value = f"Bearer {market.keys['alice']}" if way == "Authorization" else market.keys["alice"]
    path = f"/pay/v1/way/{way}"
    answer = await market.get(f"{path}?secret=hush", [(way, value)])
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["X-Request-Id"] == answer.headers["X-Kong-Request-Id"]
    assert answer.headers["X-RateLimit-Limit"] == "1000"
    assert market.says_no_secret(str(answer.headers.raw))

    (head,) = [
        head for head in market.upstream.heads if request_line(head) == f"GET /base/way/{way}?secret=hush"
    ]
    assert market.says_no_secret(head)
    assert f"x-consumer-custom-id: {market.subscriptions['alice'].id}\r\n" in head.lower()
    assert f"x-credential-identifier: {market.credentials['alice'].id}\r\n" in head.lower()

    entry = await market.entry(answer)
    assert market.says_no_secret(json.dumps(entry))
    assert "hush" not in json.dumps(entry)
    assert entry["request"]["path"] == f"/{market.slug}{path}"


async def test_a_log_entry_says_who_called_what_and_no_more(market: Market) -> None:
    entry = await market.entry(await market.get("/pay/v1/logged?secret=hush", market.key("alice")))
    assert [name for name in STRIPPED if name in entry["request"]] == []
    assert ("headers" in entry["response"], "upstream_uri" in entry) == (False, False)
    assert entry["consumer"]["custom_id"] == market.subscriptions["alice"].id
    assert f"subscription:{market.subscriptions['alice'].id}" in entry["consumer"]["tags"]
    assert entry["authenticated_entity"]["id"] == market.credentials["alice"].id
    version = f"version:{market.corner.id('v1 pay')}"
    assert {f"api:{market.pay.id}", version} <= set(entry["service"]["tags"]) & set(entry["route"]["tags"])
    assert (entry["source"], str(entry["upstream_status"]), entry["response"]["status"]) == (
        "upstream",
        "200",
        200,
    )
    assert entry["latencies"].keys() >= {"kong", "proxy", "request"}
    assert abs(entry["started_at"] / 1000 - time.time()) < 3_600


async def test_the_provider_is_told_who_calls_by_us_alone(market: Market) -> None:
    forged = ("Organisation", "Subscription", "Plan", "Secret", "Signature", "Timestamp")
    sent = [(f"X-Marketplace-{name}", "forged") for name in forged]
    answer = await market.get("/pay/v1/introduced", [*market.key("alice"), *sent])
    (head,) = [head for head in market.upstream.heads if "/introduced " in head]
    told = dict(line.split(": ", 1) for line in head.lower().strip().split("\r\n")[1:])
    assert "forged" not in head
    assert told["x-marketplace-subscription"] == market.subscriptions["alice"].id
    assert told["x-marketplace-organisation"] == market.subscriptions["alice"].organisation_id
    assert told["x-marketplace-secret"].startswith("mks_")
    assert told["x-marketplace-signature"].startswith("v1=")
    assert abs(int(told["x-marketplace-timestamp"]) - time.time()) < 3_600
    entry = await market.entry(answer)
    assert "mks_" not in json.dumps(entry) + str(answer.headers.raw)


async def test_the_provider_counts_units_in_the_log_entry_alone(market: Market) -> None:
    market.upstream.headers = {"X-Rows": "12"}
    counted = await market.get("/pay/v1/rows", market.key("counted"))
    uncounted = await market.get("/pay/v1/rows", market.key("alice"))
    market.upstream.headers = {}
    assert (await market.entry(counted))["usage_units"] == 12
    assert "X-Rows" not in counted.headers
    assert "usage_units" not in await market.entry(uncounted)


async def test_a_version_that_was_switched_off_answers_410_and_asks_nobody(market: Market) -> None:
    answer = await market.get("/pay/v0/ended", market.key("alice"))
    assert (answer.status_code, answer.json()["code"]) == (410, "API_VERSION_SUNSET")
    assert "Sunset" in answer.headers
    assert [head for head in market.upstream.heads if "/ended " in head] == []


async def test_the_log_comes_in_arrays_with_the_token_that_only_kong_knows(market: Market) -> None:
    await market.entry(await market.get("/pay/v1/batch", market.key("alice")))
    assert all(isinstance(json.loads(body), list) for body in market.sink.bodies)
    for head in market.sink.heads:
        assert request_line(head) == "POST /base"
        fields = dict(line.lower().split(": ", 1) for line in head.strip().split("\r\n")[1:])
        assert fields["content-type"].startswith("application/json")
        assert fields["x-ingest-token"]
        assert not fields["x-ingest-token"].startswith("{vault")


def refusals() -> list[tuple[str, int, str]]:
    """Who calls `pay`, and with what code and status it is refused."""
    return [
        ("nobody", 401, "MISSING_API_KEY"),
        ("unknown", 401, "INVALID_API_KEY"),
        ("malformed", 401, "INVALID_API_KEY"),
        ("digest", 401, "INVALID_API_KEY"),
        ("repeated", 401, "INVALID_API_KEY"),
        ("two ways", 401, "INVALID_API_KEY"),
        ("over-long", 401, "INVALID_API_KEY"),
        ("revoked", 401, "REVOKED_API_KEY"),
        ("expired", 401, "EXPIRED_API_KEY"),
        ("paused", 403, "SUBSCRIPTION_INACTIVE"),
        ("unlucky", 403, "SUBSCRIPTION_NOT_FOUND"),
        ("late", 429, "QUOTA_EXCEEDED"),
    ]


def presented(market: Market, who: str) -> Headers:
    key, name = market.keys["alice"], "X-API-Key"
    odd: dict[str, Headers] = {
        "nobody": (),
        "unknown": ((name, UNKNOWN),),
        "malformed": ((name, key[:-1] + ("x" if key[-1] != "x" else "y")),),
        "digest": ((name, market.digest("alice")),),
        "repeated": ((name, key), (name, key)),
        "two ways": ((name, key), ("apikey", key)),
        "over-long": ((name, key * 50),),
    }
    return odd[who] if who in odd else market.key(who)


@pytest.mark.parametrize(("who", "status", "code"), refusals())
async def test_a_refusal_is_a_problem_detail_and_tells_no_secret(
    market: Market, who: str, status: int, code: str
) -> None:
    path = f"/pay/v1/refused/{who.replace(' ', '-')}"
    answer = await market.get(path, presented(market, who))
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Error-Code"] == code
    assert problem["request_id"] == answer.headers["X-Kong-Request-Id"] == answer.headers["X-Request-Id"]
    assert market.says_no_secret(answer.text + str(answer.headers.raw))
    entry = await market.entry(answer)
    assert (entry["response"]["status"], entry["request"]["path"]) == (status, f"/{market.slug}{path}")
    assert market.says_no_secret(json.dumps(entry))
    assert [head for head in market.upstream.heads if "/refused/" in head] == []


async def test_a_reached_quota_says_when_it_ends(market: Market) -> None:
    answer = await market.get("/pay/v1/quota", market.key("late"))
    left = market.until.timestamp() - time.time()
    assert abs(int(answer.headers["Retry-After"]) - left) < 10


async def test_a_limit_is_the_consumers_own(market: Market) -> None:
    answers = [await market.get("/pay/v1/limited", market.key("limited")) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[-1].json()["code"] == "RATE_LIMIT_EXCEEDED"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert (await market.get("/pay/v1/limited", market.key("alice"))).status_code == 200


async def test_the_services_limit_holds_whoever_has_none_of_their_own_and_nobody_else(market: Market) -> None:
    bare = f"consumer.{market.subscriptions['bare'].id}.rate-limiting"
    await market.gateway.admin.delete(market.entity(Kind.PLUGIN, bare))
    held = await until(
        lambda: market.get("/pay/v1/net", market.key("bare")), lambda answer: answer.status_code == 429
    )
    assert (held.json()["code"], held.headers["X-RateLimit-Limit"]) == ("RATE_LIMIT_EXCEEDED", "2")
    for word, shown in (("alice", "1000"), ("unlimited", None)):
        answers = [await market.get("/pay/v1/net", market.key(word)) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 7
        assert {answer.headers.get("X-RateLimit-Limit") for answer in answers} == {shown}
        assert any("ratelimit" in name for name in answers[0].headers) is (shown is not None)


async def test_a_provider_that_is_down_is_a_problem_detail(market: Market) -> None:
    answer = await market.get("/dead/v1/things", market.key("unlucky"))
    assert (answer.status_code, answer.json()["code"]) == (502, "PROXY_ERROR")
    assert (await market.entry(answer))["source"] != "upstream"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/pay/v1", "/base"),
        ("/pay/v1/", "/base/"),
        ("/pay/v1/things/1?a=b&c=%20d", "/base/things/1?a=b&c=%20d"),
        ("/pay/v10/things", "/base/v10/things"),  # not version v1: the latest one's path
        ("/pay", "/base"),
        ("/pay/things", "/base/things"),
    ],
)
async def test_the_longer_path_wins_and_v1_does_not_take_v10(market: Market, path: str, asked: str) -> None:
    seen = len(market.upstream.heads)
    assert (await market.get(path, market.key("alice"))).status_code == 200
    assert [request_line(head) for head in market.upstream.heads[seen:]] == [f"GET {asked}"]


async def test_below_the_providers_path_the_404_is_ours_and_elsewhere_kongs(market: Market) -> None:
    for path in ("/nothing/here", "/payments/v1/x", "/pay-/v1"):
        ours = await market.get(path, market.key("alice"))
        assert (ours.status_code, ours.json()["code"]) == (404, "API_NOT_FOUND")
        assert ours.headers["Content-Type"] == "application/problem+json"
    kongs = await market.corner.get(f"/{market.slug}x/pay/v1")
    assert kongs.status_code == 404
    assert kongs.json()["message"] == "no Route matched with those values"


async def test_a_stop_is_a_tag_and_a_group_and_comes_undone(market: Market) -> None:
    subscription = market.subscriptions["bob"].id
    consumer = market.entity(Kind.CONSUMER, f"consumer.{subscription}")
    group = market.entity(Kind.ACL, f"consumer.{subscription}.acl")
    path, admin = f"/{market.slug}/pay/v1/stop", market.gateway.admin
    await market.corner.settled(path, market.key("bob"), status=200)
    await admin.put(replace(consumer, fields={**consumer.fields, "tags": [*consumer.tags, "stop:past_due"]}))
    await admin.delete(group)
    stopped = await market.corner.settled(path, market.key("bob"), status=403)
    assert (stopped.json()["code"], "past due" in stopped.json()["detail"]) == ("SUBSCRIPTION_INACTIVE", True)
    await admin.put(group)
    await admin.put(consumer)
    await market.corner.settled(path, market.key("bob"), status=200)
    assert (await market.get("/pay/v1/stop", market.key("alice"))).status_code == 200


async def test_a_moved_credential_says_that_it_is_revoked(market: Market) -> None:
    credential = next(e for e in market.entities() if e.id == market.credentials["bob"].id)
    grave = {"consumer": {"id": market.edge.id_of("consumer-status.revoked")}}
    path, admin = f"/{market.slug}/pay/v1/moved", market.gateway.admin
    await market.corner.settled(path, market.key("bob"), status=200)
    await admin.put(replace(credential, fields={**credential.fields, **grave}))
    refused = await market.corner.settled(path, market.key("bob"), status=401)
    assert refused.json()["code"] == "REVOKED_API_KEY"
    await admin.put(credential)
    await market.corner.settled(path, market.key("bob"), status=200)


async def test_the_canary_is_seen_on_fresh_connections_and_only_the_last_one(market: Market) -> None:
    for generation in ("first", "second"):
        assert (await show_canary(market.gateway, f"{market.corner.name}{generation}")).seen
    old = f"{market.corner.name}first"
    headers = [("X-API-Key", probe_key(old))]
    gone = await market.corner.get(probe_path(market.corner.name, old), headers)
    assert gone.status_code == 404
    # the probe's key opens the probe alone
    new = [("X-API-Key", probe_key(f"{market.corner.name}second"))]
    assert (await market.get("/pay/v1/things", new)).json()["code"] == "SUBSCRIPTION_NOT_FOUND"


async def test_a_service_that_goes_is_gone_for_every_worker(market: Market) -> None:
    admin = market.gateway.admin
    of_other = [
        entity
        for entity in market.entities()
        if f"api:{market.corner.id('api other')}" in entity.tags and entity.kind in {Kind.ROUTE, Kind.SERVICE}
    ]
    for entity in sorted(of_other, key=lambda e: e.kind is Kind.SERVICE):
        await admin.delete(entity)

    async def code() -> str:
        answer = await market.corner.settled(f"/{market.slug}/other/v1/x", market.key("alice"), status=404)
        return str(answer.json().get("code"))

    assert await until(code, lambda found: found == "API_NOT_FOUND")
