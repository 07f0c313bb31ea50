"""The secrets by which a provider knows the gateway."""

from dataclasses import replace
from uuid import UUID

from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy import text

from catalog.domain.upstream_secret import derive_secret
from common.db import Database
from tests.catalog.conftest import MASTER, Caller
from tests.catalog.factories import publish
from tests.support.outbox import outbox_events


async def test_the_provider_is_shown_what_the_gateway_derives(client: AsyncClient, acme: Caller) -> None:
    api_id = await publish(client, acme())
    answer = await client.post(f"/v1/apis/{api_id}/upstream-secret", headers=acme(role="admin"))
    derived = derive_secret(MASTER, UUID(api_id), 1)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json() == {
        "api_id": api_id, "epoch": 1, "secret": derived.secret, "signing_secret": derived.signing_secret
    }  # fmt: skip


async def test_a_rotation_repeated_rotates_once_and_the_gateway_hears_of_it(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await publish(client, acme())
    path = f"/v1/apis/{api_id}/upstream-secret"
    before = (await client.post(path, headers=acme())).json()
    answers = [
        (await client.post(f"{path}/rotate", json={"from_epoch": 1}, headers=acme())).json() for _ in range(2)
    ]
    assert answers[0] == answers[1] == (await client.post(path, headers=acme())).json()
    assert (answers[0]["epoch"], answers[0]["secret"] == before["secret"]) == (2, False)
    events = [e["payload"] for e in await outbox_events(worker_db, "catalog.api.v1")]
    assert [event["upstream_epoch"] for event in events][-2:] == [1, 2]


async def test_a_secret_is_stored_nowhere(client: AsyncClient, acme: Caller, worker_db: Database) -> None:
    api_id = await publish(client, acme())
    shown = (await client.post(f"/v1/apis/{api_id}/upstream-secret", headers=acme())).json()
    async with worker_db.begin() as session:
        rows = [
            str(await session.scalar(text(f"SELECT json_agg(t) FROM {table} t")))
            for table in ("api", "outbox", "idempotency_key")
        ]
    assert not [s for s in (shown["secret"], shown["signing_secret"], MASTER) if s in str(rows)]


async def test_only_the_providers_owners_and_admins_get_it(
    client: AsyncClient, acme: Caller, globex: Caller
) -> None:
    path = f"/v1/apis/{await publish(client, acme())}/upstream-secret"
    for headers, status in ((acme(role="developer"), 403), (globex(), 404), ({}, 401)):
        for address, body in ((path, None), (f"{path}/rotate", {"from_epoch": 1})):
            answer = await client.post(address, json=body, headers=headers)
            assert answer.status_code == status


async def test_without_a_master_it_says_so(app: FastAPI, client: AsyncClient, acme: Caller) -> None:
    app.state.rules = replace(app.state.rules, upstream_master=None)
    path = f"/v1/apis/{await publish(client, acme())}/upstream-secret"
    answer = await client.post(path, headers=acme())
    assert (answer.status_code, answer.json()["code"]) == (409, "UPSTREAM_SECRETS_OFF")
