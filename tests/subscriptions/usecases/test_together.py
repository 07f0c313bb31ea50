"""Changes that meet: commits that fail, requests at the same time, everything again."""

import asyncio

import asyncpg
from httpx import AsyncClient

from common.db import Database
from devstack.embedded.databases import DatabaseUrls
from subscriptions.usecases.expire_keys import expire_keys
from subscriptions.usecases.republish import republish
from tests.subscriptions.conftest import Caller
from tests.subscriptions.factories import PLAN, set_standing, subscribe
from tests.support.clock import NOON, FixedClock
from tests.support.outbox import outbox_events

BODY = {"plan_id": str(PLAN)}
COMMIT_FAILS = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON api_key DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse()"""


async def test_a_commit_that_fails_is_an_error_and_no_key_is_told(
    client: AsyncClient, globex: Caller, on_sale: None, urls: DatabaseUrls, worker_db: Database
) -> None:
    connection = await asyncpg.connect(urls.superuser.replace("+asyncpg", ""))
    await connection.execute(COMMIT_FAILS)
    headers = globex() | {"Idempotency-Key": "again"}
    answer = await client.post("/v1/subscriptions", json=BODY, headers=headers)
    assert answer.status_code == 500
    assert "mk_live_" not in answer.text
    assert await outbox_events(worker_db) == []
    assert (await client.get("/v1/subscriptions", headers=globex())).json()["items"] == []
    await connection.execute("DROP TRIGGER refuse ON api_key")
    await connection.close()
    again = await client.post("/v1/subscriptions", json=BODY, headers=headers)
    assert again.status_code == 201
    assert again.json()["key"]["key"]


async def test_of_many_at_the_same_time_one_subscribes(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    answers = await asyncio.gather(
        *[client.post("/v1/subscriptions", json=BODY, headers=globex()) for _ in range(6)]
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert len(await outbox_events(worker_db)) == 2


async def test_one_key_is_rotated_once(client: AsyncClient, globex: Caller, on_sale: None) -> None:
    key = (await subscribe(client, globex()))["key"]
    answers = await asyncio.gather(
        *[client.post(f"/v1/keys/{key['id']}/rotate", headers=globex()) for _ in range(4)]
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_no_subscription_is_active_beside_an_overdue_invoice(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    """Whichever comes first: either the subscription is refused, or it is stopped with the others."""
    for version in range(1, 9, 2):
        answer, _ = await asyncio.gather(
            client.post("/v1/subscriptions", json=BODY, headers=globex()),
            set_standing(worker_db, "past_due", version=version),
        )
        assert answer.status_code in {201, 402}
        items = (await client.get("/v1/subscriptions", headers=globex())).json()["items"]
        assert "active" not in {item["status"] for item in items}
        for item in items:
            await client.post(f"/v1/subscriptions/{item['id']}/cancel", headers=globex())
        await set_standing(worker_db, "good", version=version + 1)


async def test_expiring_workers_do_not_repeat_each_other(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database, clock: FixedClock
) -> None:
    subscription_id = (await subscribe(client, globex()))["subscription"]["id"]
    for n in range(8):
        body = {"name": f"k{n}", "expires_at": "2026-11-15T13:00:00Z"}
        await client.post(f"/v1/subscriptions/{subscription_id}/keys", json=body, headers=globex())
    clock.advance(hours=2)
    ended = await asyncio.gather(*[expire_keys(worker_db, now=clock.now()) for _ in range(3)])
    assert sum(ended) == 8
    events = [e["payload"] for e in await outbox_events(worker_db, "subscriptions.key.v1")]
    assert sorted(e["version"] for e in events) == [1] * 9 + [2] * 8


async def test_everything_again_has_the_same_ids_and_the_present_state(
    client: AsyncClient, globex: Caller, initech: Caller, on_sale: None, worker_db: Database
) -> None:
    for headers in (globex(), initech()):
        created = await subscribe(client, headers)
        await client.post(f"/v1/keys/{created['key']['id']}/rotate", headers=headers)
    first = await outbox_events(worker_db)
    async with worker_db.begin() as session:
        sent = await republish(session, NOON)
    again = (await outbox_events(worker_db))[len(first) :]
    assert sent == len(again) == 6
    newest = {(e["topic"], e["key"]): e["payload"] for e in first}
    assert {(e["topic"], e["key"]): e["payload"] for e in again} == newest
