"""Changes that meet: commits that fail, requests at the same time, everything again."""

import asyncio

import asyncpg
from httpx import AsyncClient

from catalog.usecases.republish import republish
from common.db import Database
from devstack.embedded.databases import DatabaseUrls
from tests.catalog.conftest import Caller
from tests.catalog.factories import a_plan_body, an_api_body, publish, register
from tests.support.clock import NOON
from tests.support.outbox import outbox_events

COMMIT_FAILS = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse()"""


async def test_a_commit_that_fails_is_an_error_and_leaves_neither_row_nor_event(
    client: AsyncClient, acme: Caller, urls: DatabaseUrls, worker_db: Database
) -> None:
    connection = await asyncpg.connect(urls.superuser.replace("+asyncpg", ""))
    await connection.execute(COMMIT_FAILS.format(table="api"))
    answer = await client.post("/v1/apis", json=an_api_body(), headers=acme())
    assert answer.status_code == 500
    assert await outbox_events(worker_db) == []
    await connection.execute("DROP TRIGGER refuse ON api")
    api_id = await register(client, acme())
    await connection.execute("DROP FUNCTION refuse")
    await connection.execute(COMMIT_FAILS.format(table="openapi_document"))
    body = b'{"openapi":"3.0.0","info":{},"paths":{"/a":{"get":{}}}}'
    answer = await client.put(f"/v1/apis/{api_id}/versions/v1/openapi", content=body, headers=acme())
    assert answer.status_code == 500
    assert (await client.get(f"/v1/apis/{api_id}/versions", headers=acme())).json()["items"] == []
    assert len(await outbox_events(worker_db)) == 1
    await connection.close()


async def test_changes_at_the_same_time_take_turns(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await register(client, acme())
    path = f"/v1/apis/{api_id}"
    answers = await asyncio.gather(
        *[client.patch(path, json={"name": f"Name {n}"}, headers=acme()) for n in range(4)],
        *[client.post(f"{path}/versions", json={"name": f"v{n}"}, headers=acme()) for n in range(1, 4)],
        *[client.post(f"{path}/plans", json=a_plan_body(), headers=acme()) for _ in range(2)],
    )
    assert sorted(a.status_code for a in answers) == [200] * 4 + [201] * 4 + [409]
    versions = [e["payload"]["version"] for e in await outbox_events(worker_db, "catalog.api.v1")]
    assert versions == list(range(1, len(versions) + 1))
    latest = [
        v for v in (await client.get(f"{path}/versions", headers=acme())).json()["items"] if v["is_latest"]
    ]
    assert [v["name"] for v in latest] == [(await client.get(path, headers=acme())).json()["latest_version"]]


async def test_one_slug_asked_for_by_many_is_given_once(client: AsyncClient, acme: Caller) -> None:
    answers = await asyncio.gather(
        *[client.post("/v1/apis", json=an_api_body(), headers=acme()) for _ in range(5)]
    )
    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409, 409]


async def test_everything_again_has_the_same_ids_and_the_present_state(
    client: AsyncClient, acme: Caller, globex: Caller, worker_db: Database
) -> None:
    for headers, slug in ((acme(), "one"), (globex(), "two")):
        api_id = await publish(client, headers, slug=slug)
        await client.post(f"/v1/apis/{api_id}/plans", json=a_plan_body(), headers=headers)
    first = await outbox_events(worker_db)
    async with worker_db.begin() as session:
        sent = await republish(session, NOON)
    again = (await outbox_events(worker_db))[len(first) :]
    assert sent == len(again) == 6
    newest = {(e["topic"], e["key"]): e["payload"] for e in first}
    assert {(e["topic"], e["key"]): e["payload"] for e in again} == newest
