"""Keys: shown once, rotated, revoked, ended."""

import hashlib
from typing import Any

from httpx import AsyncClient
from sqlalchemy import text

from common.db import Database
from subscriptions.consumers.key_use import KeyUseEvent, on_key_use
from subscriptions.consumers.version import on_version
from subscriptions.usecases.expire_keys import expire_keys
from tests.subscriptions.conftest import Caller
from tests.subscriptions.factories import GLOBEX, SUBSCRIPTION, a_version_event, subscribe
from tests.support.clock import NOON, FixedClock
from tests.support.outbox import outbox_events


async def a_subscription(client: AsyncClient, headers: dict[str, str]) -> tuple[str, dict[str, Any]]:
    created = await subscribe(client, headers)
    return created["subscription"]["id"], created["key"]


async def statuses(client: AsyncClient, headers: dict[str, str]) -> list[tuple[str, str]]:
    items = (await client.get("/v1/keys", headers=headers)).json()["items"]
    return [(item["name"], item["status"]) for item in items]


async def every_row(worker_db: Database) -> str:
    """All that the service has stored, as text."""
    list_tables = text("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    found = []
    async with worker_db.begin() as session:
        for table in set(await session.scalars(list_tables)) - {"alembic_version"}:
            found += [str(row) for row in await session.scalars(text(f"SELECT t::text FROM {table} t"))]
        # The row's own text shows bytes as hex.
        found += await session.scalars(text("SELECT convert_from(payload, 'UTF8') FROM outbox"))
    return "\n".join(found)


async def test_a_key_is_nowhere_in_the_database(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    headers = globex() | {"Idempotency-Key": "one"}
    subscription_id, first = await a_subscription(client, headers)
    path = f"/v1/subscriptions/{subscription_id}/keys"
    second = (
        await client.post(path, json={"name": "two"}, headers=headers | {"Idempotency-Key": "2"})
    ).json()
    third = await client.post(f"/v1/keys/{second['id']}/rotate", headers=headers | {"Idempotency-Key": "3"})
    everything = await every_row(worker_db)
    for key in (first["key"], second["key"], third.json()["key"]):
        assert key not in everything
        assert key[12:40] not in everything
        assert hashlib.sha256(key.encode()).hexdigest() in everything


async def test_a_second_key_beside_the_first(client: AsyncClient, globex: Caller, on_sale: None) -> None:
    subscription_id, first = await a_subscription(client, globex())
    path = f"/v1/subscriptions/{subscription_id}/keys"
    body = {"name": "ci", "mode": "test", "expires_at": "2026-12-01T00:00:00Z"}
    made = await client.post(path, json=body, headers=globex())
    second = made.json()
    assert second["key"].startswith("mk_test_")
    assert second["key"] != first["key"]
    assert (second["expires_at"], second["status"]) == ("2026-12-01T00:00:00Z", "active")
    assert await statuses(client, globex()) == [("ci", "active"), ("default", "active")]


async def test_a_replay_never_carries_the_key(client: AsyncClient, globex: Caller, on_sale: None) -> None:
    subscription_id, first = await a_subscription(client, globex())
    same = globex()
    for path, body in (
        (f"/v1/subscriptions/{subscription_id}/keys", {"name": "x"}),
        (f"/v1/keys/{first['id']}/rotate", {"grace_seconds": 60}),
    ):
        headers = same | {"Idempotency-Key": path}
        made = await client.post(path, json=body, headers=headers)
        again = await client.post(path, json=body, headers=headers)
        assert made.json()["key"]
        assert again.json() == made.json() | {"key": None}
        assert again.headers["Idempotent-Replayed"] == "true"


async def test_keys_that_cannot_be(client: AsyncClient, globex: Caller, on_sale: None) -> None:
    subscription_id, _ = await a_subscription(client, globex())
    path = f"/v1/subscriptions/{subscription_id}/keys"
    bodies: list[dict[str, Any]] = [
        {},
        {"name": ""},
        {"name": "a\x00b"},
        {"name": "x", "mode": "gold"},
        {"name": "x", "expires_at": "2026-11-15T12:00:00Z"},
        {"name": "x", "expires_at": "2027-01-01T00:00:00"},
    ]
    for body in bodies:
        assert (await client.post(path, json=body, headers=globex())).status_code == 422, body
    for n in range(19):
        assert (await client.post(path, json={"name": f"k{n}"}, headers=globex())).status_code == 201
    full = await client.post(path, json={"name": "one more"}, headers=globex())
    assert (full.status_code, full.json()["code"]) == (409, "TOO_MANY_KEYS")


async def test_revoking_is_for_good_and_may_be_repeated(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    _, key = await a_subscription(client, globex())
    for _ in range(2):
        assert (await client.delete(f"/v1/keys/{key['id']}", headers=globex())).status_code == 204
    assert await statuses(client, globex()) == [("default", "revoked")]
    events = [e["payload"] for e in await outbox_events(worker_db, "subscriptions.key.v1")]
    assert [(e["version"], e["status"]) for e in events] == [(1, "active"), (2, "revoked")]
    rotated = await client.post(f"/v1/keys/{key['id']}/rotate", headers=globex())
    assert (rotated.status_code, rotated.json()["code"]) == (409, "KEY_NOT_ACTIVE")


async def test_rotation_gives_a_grace_time_and_then_the_old_key_ends(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database, clock: FixedClock
) -> None:
    _, old = await a_subscription(client, globex())
    answer = await client.post(f"/v1/keys/{old['id']}/rotate", json={"grace_seconds": 3600}, headers=globex())
    new = answer.json()
    assert (new["name"], new["status"], new["expires_at"]) == ("default", "active", None)
    assert new["replaces"]["status"] == "expiring"
    assert new["replaces"]["expires_at"] == "2026-11-15T13:00:00Z"
    assert new["replaces"]["replaced_by"] == new["id"]
    assert await expire_keys(worker_db, now=clock.now()) == 0
    clock.advance(hours=1)
    assert await expire_keys(worker_db, now=clock.now()) == 1
    assert await expire_keys(worker_db, now=clock.now()) == 0
    events = [e["payload"] for e in await outbox_events(worker_db, "subscriptions.key.v1")]
    assert [(e["version"], e["status"]) for e in events if e["key_id"] == old["id"]] == [
        (1, "active"), (2, "expiring"), (3, "expired"),
    ]  # fmt: skip
    assert await statuses(client, globex()) == [("default", "active"), ("default", "expired")]


async def test_a_rotated_key_inherits_its_expiry(client: AsyncClient, globex: Caller, on_sale: None) -> None:
    subscription_id, _ = await a_subscription(client, globex())
    body = {"name": "trial", "expires_at": "2026-11-16T00:00:00Z"}
    made = await client.post(f"/v1/subscriptions/{subscription_id}/keys", json=body, headers=globex())
    rotated = (await client.post(f"/v1/keys/{made.json()['id']}/rotate", headers=globex())).json()
    assert rotated["expires_at"] == rotated["replaces"]["expires_at"] == "2026-11-16T00:00:00Z"


async def test_keys_are_made_while_paused_and_not_after_the_end(
    client: AsyncClient, globex: Caller, on_sale: None
) -> None:
    subscription_id, key = await a_subscription(client, globex())
    path = f"/v1/subscriptions/{subscription_id}"
    await client.post(f"{path}/pause", headers=globex())
    assert (await client.post(f"{path}/keys", json={"name": "x"}, headers=globex())).status_code == 201
    await client.post(f"{path}/cancel", headers=globex())
    for url, body in ((f"{path}/keys", {"name": "y"}), (f"/v1/keys/{key['id']}/rotate", None)):
        answer = await client.post(url, json=body, headers=globex())
        assert (answer.status_code, answer.json()["code"]) == (409, "SUBSCRIPTION_NOT_LIVE")
    assert (await client.delete(f"/v1/keys/{key['id']}", headers=globex())).status_code == 204


async def test_a_restricted_key_has_a_share_which_a_rotation_hands_on(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    subscription_id, _ = await a_subscription(client, globex())
    path = f"/v1/subscriptions/{subscription_id}/keys"
    made = await client.post(path, json={"name": "ci", "rate_limits": {"second": 4}}, headers=globex())
    assert made.status_code == 201, made.text
    assert made.json()["rate_limits"] == {"second": 4, "minute": None, "hour": None, "day": None}
    too_much = await client.post(path, json={"name": "more", "rate_limits": {"second": 6}}, headers=globex())
    assert (too_much.status_code, too_much.json()["code"]) == (422, "BAD_KEY_LIMITS")
    assert too_much.json()["errors"][0]["field"] == "rate_limits.second"
    nonsense = await client.post(path, json={"name": "none", "rate_limits": {"second": 0}}, headers=globex())
    assert nonsense.status_code == 422
    rotated = await client.post(f"/v1/keys/{made.json()['id']}/rotate", headers=globex())
    assert rotated.json()["rate_limits"] == made.json()["rate_limits"]
    told = [
        event["payload"]
        for event in await outbox_events(worker_db)
        if event["topic"] == "subscriptions.key.v1"
    ]
    shares = {event["share_id"] for event in told if event["rate_limits"]}
    assert shares == {made.json()["id"]}


async def test_a_key_s_last_use_is_shown_as_metering_tells_it(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    subscription_id, key = await a_subscription(client, globex())
    shown = []
    for version, minute in ((2, 30), (3, 41), (3, 50), (1, 59)):
        event = {"key_id": key["id"], "version": version, "organisation_id": GLOBEX}
        at = NOON.replace(minute=minute)
        async with worker_db.begin() as session:
            await on_key_use(session, KeyUseEvent.model_validate(event | {"last_used_at": at}), now=NOON)
        [one] = (await client.get("/v1/keys", headers=globex())).json()["items"]
        path = f"/v1/subscriptions/{subscription_id}/keys"
        assert (await client.get(path, headers=globex())).json()["items"] == [one]
        shown.append(one["last_used_at"][14:16])
    assert (key["last_used_at"], shown) == (None, ["30", "41", "41", "41"])
    rotated = (await client.post(f"/v1/keys/{key['id']}/rotate", headers=globex())).json()
    assert (rotated["last_used_at"], rotated["replaces"]["last_used_at"]) == (None, one["last_used_at"])


async def test_a_key_holds_scopes_that_its_api_knows_and_a_rotation_hands_them_on(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    subscription_id, _ = await a_subscription(client, globex())
    path = f"/v1/subscriptions/{subscription_id}/keys"
    body = {"name": "ci", "scopes": ["write", "read", "read"]}
    made = (await client.post(path, json=body, headers=globex())).json()
    tried = (await client.post(path, json=body | {"mode": "test"}, headers=globex())).json()
    assert made["scopes"] == tried["scopes"] == ["read", "write"]
    async with worker_db.begin() as session:  # the API forgets them; keys keep what they were given
        await on_version(session, a_version_event(version=2), now=NOON)
    rotated = (await client.post(f"/v1/keys/{made['id']}/rotate", headers=globex())).json()
    assert rotated["scopes"] == rotated["replaces"]["scopes"] == ["read", "write"]
    listed = (await client.get(path, headers=globex())).json()["items"]
    assert [key["scopes"] for key in listed] == [["read", "write"]] * 3 + [[]]
    told = {
        e["payload"]["key_id"]: e["payload"] for e in await outbox_events(worker_db, "subscriptions.key.v1")
    }
    assert [told[key["id"]]["scopes"] for key in (made, rotated)] == [["read", "write"]] * 2
    assert told[made["id"]]["share_id"] == told[rotated["id"]]["share_id"] == made["id"]


async def test_a_scope_that_the_api_does_not_know_is_named_with_those_it_knows(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    subscription_id, _ = await a_subscription(client, globex())
    path = f"/v1/subscriptions/{subscription_id}/keys"
    async with worker_db.begin() as session:
        old = {"version_id": SUBSCRIPTION, "state": "sunset"}
        await on_version(session, a_version_event(["old"], **old), now=NOON)
    answer = await client.post(path, json={"name": "x", "scopes": ["read", "old", "all"]}, headers=globex())
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "UNKNOWN_SCOPE")
    assert problem["errors"][0]["field"] == "scopes"
    assert problem["known_scopes"] == ["read", "write"]
    assert "scope all, old." in problem["detail"]
    for scopes in (["read all"], [""], ["x"] * 51, "read"):
        answer = await client.post(path, json={"name": "x", "scopes": scopes}, headers=globex())
        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")
