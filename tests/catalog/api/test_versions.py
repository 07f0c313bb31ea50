"""Versions, documents and endpoints."""

import json
from datetime import datetime, timedelta
from typing import Any

import yaml
from httpx import AsyncClient
from sqlalchemy import text

from common.db import Database
from common.pagination import encode_cursor
from tests.catalog.conftest import Caller
from tests.catalog.factories import a_document, a_document_text, publish, register
from tests.support.clock import FixedClock
from tests.support.outbox import outbox_events


async def put(
    client: AsyncClient, headers: dict[str, str], api_id: str, body: bytes, version: str = "v1"
) -> Any:
    return await client.put(f"/v1/apis/{api_id}/versions/{version}/openapi", content=body, headers=headers)


async def endpoints(client: AsyncClient, headers: dict[str, str], api_id: str) -> dict[tuple[str, str], str]:
    answer = await client.get(f"/v1/apis/{api_id}/versions/v1/endpoints", headers=headers)
    return {(item["method"], item["path"]): item["id"] for item in answer.json()["items"]}


async def test_a_yaml_document_is_given_back_as_json(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    text = yaml.safe_dump(a_document(), sort_keys=False).encode()
    answer = await put(client, acme() | {"Content-Type": "application/yaml"}, api_id, text)
    assert answer.status_code == 200, answer.text
    got = await client.get(f"/v1/apis/{api_id}/versions/v1/openapi", headers=acme())
    assert (got.json(), got.headers["content-type"]) == (a_document(), "application/json")


async def test_endpoints_that_stay_keep_their_ids_and_weights(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await register(client, acme())
    await put(client, acme(), api_id, a_document_text())
    before = await endpoints(client, acme(), api_id)
    async with worker_db.begin() as session:
        await session.execute(text("UPDATE endpoint SET weight = 5 WHERE path = '/rates'"))
    tree = a_document()
    del tree["paths"]["/rates/{currency}"]
    tree["paths"] = {"/new": {"get": {"responses": {"200": {}}}}} | tree["paths"]
    await put(client, acme(), api_id, json.dumps(tree).encode())
    after = await endpoints(client, acme(), api_id)
    assert list(after) == [("GET", "/new"), ("GET", "/rates")]
    assert after["GET", "/rates"] == before["GET", "/rates"]
    last = (await outbox_events(worker_db, "catalog.version.v1"))[-1]["payload"]
    assert [(e["path"], e["weight"]) for e in last["endpoints"]] == [("/new", 1), ("/rates", 5)]


async def test_the_newest_version_is_the_latest_one(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await publish(client, acme())
    await put(client, acme(), api_id, a_document_text(), "v2")
    items = (await client.get(f"/v1/apis/{api_id}/versions")).json()["items"]
    assert [(item["name"], item["is_latest"]) for item in items] == [("v2", True), ("v1", False)]
    assert (await client.get(f"/v1/apis/{api_id}")).json()["latest_version"] == "v2"
    old = [
        e["payload"]
        for e in await outbox_events(worker_db, "catalog.version.v1")
        if e["payload"]["name"] == "v1"
    ]
    assert old[-1]["is_latest"] is False
    assert len(old[-1]["endpoints"]) == 2


async def test_a_document_put_again_on_an_old_version_leaves_the_latest_alone(
    client: AsyncClient, acme: Caller
) -> None:
    api_id = await publish(client, acme())
    await put(client, acme(), api_id, a_document_text(), "v2")
    await put(client, acme(), api_id, a_document_text())
    assert (await client.get(f"/v1/apis/{api_id}")).json()["latest_version"] == "v2"


async def test_a_version_can_be_made_before_its_document(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    body = {"name": "v1", "base_url": "https://v1.example.com/", "changelog": "First."}
    made = await client.post(f"/v1/apis/{api_id}/versions", json=body, headers=acme())
    assert (made.status_code, made.json()["base_url"]) == (201, "https://v1.example.com")
    again = await client.post(f"/v1/apis/{api_id}/versions", json=body, headers=acme())
    assert (again.status_code, again.json()["code"]) == (409, "VERSION_EXISTS")
    missing = await client.get(f"/v1/apis/{api_id}/versions/v1/openapi", headers=acme())
    assert (missing.status_code, missing.json()["code"]) == (404, "OPENAPI_NOT_FOUND")
    await put(client, acme(), api_id, a_document_text())
    kept = (await client.get(f"/v1/apis/{api_id}/versions", headers=acme())).json()["items"][0]
    assert (kept["base_url"], kept["changelog"], kept["operations"]) == (
        "https://v1.example.com",
        "First.",
        2,
    )


async def test_a_version_gets_the_dates_of_its_end_and_others_hear_of_them(
    client: AsyncClient, acme: Caller, worker_db: Database, clock: FixedClock
) -> None:
    api_id = await publish(client, acme())
    path = f"/v1/apis/{api_id}/versions/v1"
    end = clock.now() + timedelta(days=90)
    answer = await client.patch(path, json={"sunset_at": end.isoformat()}, headers=acme())
    assert (answer.status_code, answer.json()["state"]) == (200, "deprecated")
    event = (await outbox_events(worker_db, "catalog.version.v1"))[-1]["payload"]
    assert datetime.fromisoformat(event["sunset_at"]) == end
    assert datetime.fromisoformat(event["deprecated_at"]) == clock.now()
    assert len(event["endpoints"]) == 2
    again = await client.patch(path, json={"sunset_at": end.isoformat()}, headers=acme())
    assert again.headers["ETag"] == answer.headers["ETag"]
    stale = await client.patch(path, json={"changelog": "x"}, headers=acme() | {"If-Match": '"1"'})
    assert stale.status_code == 412
    clock.set(end)
    assert (await client.get(f"/v1/apis/{api_id}/versions")).json()["items"][0]["state"] == "sunset"
    early = await client.patch(
        path, json={"deprecated_at": (end + timedelta(days=1)).isoformat()}, headers=acme()
    )
    assert (early.status_code, early.json()["code"], early.json()["errors"][0]["field"]) == (
        422,
        "BAD_LIFECYCLE",
        "sunset_at",
    )


async def test_another_organisation_cannot_end_a_version(
    client: AsyncClient, acme: Caller, globex: Caller
) -> None:
    api_id = await publish(client, acme())
    for headers, status in ((globex(), 404), (acme(role="viewer"), 403), ({}, 401)):
        answer = await client.patch(f"/v1/apis/{api_id}/versions/v1", json={}, headers=headers)
        assert answer.status_code == status


REFUSED: list[tuple[bytes, int, str]] = [
    (b'{"swagger": "2.0", "paths": {}}', 422, "OPENAPI_VERSION_UNSUPPORTED"),
    (b"{", 422, "OPENAPI_UNREADABLE"),
    (b"", 422, "OPENAPI_UNREADABLE"),
    (b'{"openapi": "3.0.0", "paths": {}}', 422, "OPENAPI_NO_OPERATIONS"),
    (
        b'{"openapi": "3.0.0", "paths": {"/a": {"$ref": "http://127.0.0.1/x"}}}',
        422,
        "OPENAPI_EXTERNAL_REFERENCE",
    ),
    (b'{"a":' * 500 + b"1" + b"}" * 500, 422, "OPENAPI_TOO_COMPLEX"),
    (b'{"a":"' + b"x" * 200_000 + b'"}', 413, "OPENAPI_TOO_LARGE"),
]


async def test_a_refused_document_says_why_and_leaves_nothing_behind(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await register(client, acme())
    for body, status, code in REFUSED:
        answer = await put(client, acme(), api_id, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await client.get(f"/v1/apis/{api_id}/versions", headers=acme())).json()["items"] == []
    assert len(await outbox_events(worker_db)) == 1


async def test_versions_have_names_that_stand_in_a_path(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    for version in ("1", "V1", "v1%20", "latest"):
        answer = await put(client, acme(), api_id, a_document_text(), version)
        assert (answer.status_code, answer.json()["code"]) == (422, "BAD_SLUG"), version


async def test_endpoints_come_in_pages_in_the_document_s_order(client: AsyncClient, acme: Caller) -> None:
    paths: dict[str, Any] = {f"/p{n:03}": {"get": {"responses": {"200": {}}}} for n in range(250)}
    api_id = await register(client, acme())
    imported = await put(client, acme(), api_id, a_document_text(paths=paths))
    assert imported.json()["operations"] == 250
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": 100} | ({"cursor": cursor} if cursor else {})
        page = await client.get(f"/v1/apis/{api_id}/versions/v1/endpoints", params=params, headers=acme())
        seen += [item["path"] for item in page.json()["items"]]
        cursor = page.json()["next_cursor"]
    assert seen == list(paths)
    for forged in ("x", *map(encode_cursor, ("x", None, -1, 2**31, 2**63 - 1))):
        answer = await client.get(
            f"/v1/apis/{api_id}/versions/v1/endpoints", params={"cursor": forged}, headers=acme()
        )
        assert answer.status_code == 422, forged


async def test_others_do_not_see_where_calls_are_sent(client: AsyncClient, acme: Caller) -> None:
    api_id = await publish(client, acme())
    body = {"name": "v2", "base_url": "https://secret.example.com"}
    await client.post(f"/v1/apis/{api_id}/versions", json=body, headers=acme())
    public = (await client.get(f"/v1/apis/{api_id}/versions")).json()
    assert "secret.example.com" not in json.dumps(public)


async def test_an_endpoint_shows_its_scopes_and_follows_the_document(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await publish(client, acme())
    shown = []
    for scopes in (["rates:read"], []):
        tree = a_document()
        tree["paths"]["/rates"]["get"]["x-scopes"] = scopes
        assert (await put(client, acme(), api_id, json.dumps(tree).encode())).status_code == 200
        answer = await client.get(f"/v1/apis/{api_id}/versions/v1/endpoints")
        shown.append({item["path"]: item["scopes"] for item in answer.json()["items"]})
    assert shown == [
        {"/rates/{currency}": None, "/rates": ["rates:read"]},
        {"/rates/{currency}": None, "/rates": []},
    ]
    told = [e["payload"]["endpoints"] for e in await outbox_events(worker_db, "catalog.version.v1")]
    assert [{e["path"]: e["scopes"] for e in endpoints} for endpoints in told[-2:]] == shown
