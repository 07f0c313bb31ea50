"""The Admin API's answers become values, refusals, or "not now"."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from kong_sync.clients.errors import KongRejected, KongUnavailable
from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.domain.entities import Kind
from tests.kong_sync.double import Double, as_sent
from tests.kong_sync.factories import an_edge, an_id, of_kind, wanted

Answer = Callable[[httpx.Request], httpx.Response]


def admin(answer: Answer, *, attempts: int = 3) -> KongAdmin:
    return KongAdmin(
        "http://kong",
        attempts=attempts,
        transport=httpx.MockTransport(lambda request: answer(as_sent(request))),
    )


async def test_a_list_is_read_page_by_page() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        if request.url.path != "/services":
            return httpx.Response(200, json={"data": [], "next": None})
        if "offset" in request.url.params:
            return httpx.Response(200, json={"data": [{"id": "2"}], "next": None})
        return httpx.Response(200, json={"data": [{"id": "1"}], "next": "/services?offset=x", "offset": "x"})

    dump = await admin(answer).dump(["managed-by:kong-sync", "ns:m"])
    assert [one["id"] for one in dump[Kind.SERVICE]] == ["1", "2"]
    assert all("size=1000" in query and "tags=managed-by%3Akong-sync%2Cns%3Am" in query for query in asked)


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
async def test_what_may_pass_is_tried_again_and_then_called_unavailable(status: int) -> None:
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        return httpx.Response(status, text="oops")

    with pytest.raises(KongUnavailable):
        await admin(answer, attempts=2).node()
    assert len(calls) == 2


async def test_a_cut_connection_is_mended_by_the_next_attempt() -> None:
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        if len(calls) == 1:
            raise httpx.ReadError("cut", request=request)
        return httpx.Response(200, json={"version": "3.9.3"})

    assert (await admin(answer).node())["version"] == "3.9.3"


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (
            400,
            "schema violation (host: required)",
            "The gateway refused it: schema violation (host: required)",
        ),
        (
            409,
            "UNIQUE violation",
            "Something in the gateway that is not ours is in the way: UNIQUE violation",
        ),
        (404, "Not found", "The gateway refused it: Not found"),
    ],
)
async def test_a_refusal_is_final_and_keeps_kongs_words(status: int, message: str, reason: str) -> None:
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        return httpx.Response(status, text=json.dumps({"message": message, "code": 2}))

    (service,) = of_kind(wanted(), Kind.SERVICE, "api")
    with pytest.raises(KongRejected) as refused:
        await admin(answer).put(service)
    assert refused.value.reason == reason
    assert calls == ["PUT"]


async def test_an_answer_that_is_no_json_comes_from_something_else_and_may_pass() -> None:
    with pytest.raises(KongUnavailable):
        await admin(lambda _: httpx.Response(200, text="<html>"), attempts=1).node()


async def test_nested_entities_are_addressed_below_their_consumer() -> None:
    written: list[tuple[str, str, bytes]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        written.append((request.method, request.url.path, request.content))
        return httpx.Response(200, json={})

    client = admin(answer)
    (credential,) = of_kind(wanted(), Kind.CREDENTIAL, "subscription")
    consumer = credential.fields["consumer"]["id"]
    await client.put(credential)
    await client.delete(credential)
    assert [(m, p) for m, p, _ in written] == [
        ("PUT", f"/consumers/{consumer}/key-auth/{an_id('key')}"),
        ("DELETE", f"/consumers/{consumer}/key-auth/{an_id('key')}"),
    ]
    assert b"consumer" not in written[0][2].replace(b"part:consumer", b"")


async def test_every_kind_of_entity_is_accepted_found_by_tag_and_deleted(double: Double) -> None:
    client = KongAdmin(double.admin_url)
    edge = an_edge(namespace="clients")
    entities = wanted(edge=edge)
    for entity in entities:
        await client.put(entity)
        await client.put(entity)
    dump = await client.dump(edge.selector)
    assert {(kind, one["id"]) for kind, found in dump.items() for one in found} == {e.key for e in entities}
    for entity in reversed(entities):
        await client.delete(entity)
        await client.delete(entity)
    assert not any((await client.dump(edge.selector)).values())
    await client.close()


async def test_the_admin_api_may_lie_below_a_path_and_behind_a_password() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={})

    transport = httpx.MockTransport(lambda request: answer(as_sent(request)))
    client = KongAdmin("https://us:p%40ss@kong:8444/admin/", transport=transport)
    await client.node()
    await client.find(Kind.SERVICE, "1")
    assert [str(request.url) for request in asked] == [
        "https://kong:8444/admin/",
        "https://kong:8444/admin/services/1",
    ]
    assert {request.headers["Authorization"] for request in asked} == {"Basic dXM6cEBzcw=="}  # us:p@ss
