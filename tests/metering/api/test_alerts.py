from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy import text

from common.db import Database, Scope
from metering.main import create_app
from metering.settings import Settings
from metering.usecases.evaluate_alerts import evaluate_alerts
from tests.metering.factories import CONSUMER_ORG, OTHER_ORG, PROVIDER_ORG, SUBSCRIPTION
from tests.metering.recording import NOW, TOPIC, Recorder
from tests.metering.usecases.test_alerts import look
from tests.metering.usecases.test_quotas import calls, subscribe
from tests.support.clock import FixedClock
from tests.support.outbox import outbox_events
from tests.support.tokens import TokenMaker

USER = UUID(int=9)
RULE = {"name": "Quota", "kind": "quota_share", "subscription_id": SUBSCRIPTION, "threshold": "80"}


@pytest.fixture
async def app(
    make_settings: Callable[..., Settings], clock: FixedClock, tokens: TokenMaker, worker_db: Database
) -> FastAPI:
    """Without Kafka: rules need none."""
    await subscribe(worker_db, quota=10)
    application = create_app(make_settings(KAFKA_TOPIC_PREFIX=""), clock=clock)
    application.state.verifier = tokens.verifier
    return application


@pytest.fixture
def owner(tokens: TokenMaker) -> dict[str, str]:
    return tokens.headers(organisation_id=UUID(CONSUMER_ORG), user_id=USER)


async def create(client: AsyncClient, headers: dict[str, str], **overrides: Any) -> dict[str, Any]:
    answer = await client.post("/v1/alerts", json=RULE | overrides, headers=headers)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()) | {"etag": answer.headers["ETag"]}


async def test_a_rule_is_made_read_changed_and_deleted_by_its_etag(
    client: AsyncClient, owner: dict[str, str]
) -> None:
    rule = await create(client, owner)
    path = f"/v1/alerts/{rule['id']}"
    assert (rule["etag"], rule["period"], rule["threshold"], rule["enabled"]) == ('"1"', "month", "80", True)
    read = await client.get(path, headers=owner)
    assert (read.json()["name"], read.headers["ETag"]) == ("Quota", '"1"')
    changed = await client.patch(path, json={"threshold": 90}, headers=owner | {"If-Match": '"1"'})
    assert (changed.json()["threshold"], changed.headers["ETag"]) == ("90", '"2"')
    for method, body in (("PATCH", {"enabled": False}), ("DELETE", None)):
        stale = await client.request(method, path, json=body, headers=owner | {"If-Match": '"1"'})
        assert (stale.status_code, stale.json()["code"]) == (412, "PRECONDITION_FAILED")
    off = await client.patch(path, json={"enabled": False}, headers=owner | {"If-Match": '"2"'})
    assert (off.json()["enabled"], off.json()["version"]) == (False, 3)
    unchanged = await client.patch(path, json={"enabled": False}, headers=owner)
    assert unchanged.headers["ETag"] == '"3"'
    assert (await client.delete(path, headers=owner | {"If-Match": '"3"'})).status_code == 204
    gone = await client.get(path, headers=owner)
    assert (gone.status_code, gone.json()["code"]) == (404, "ALERT_RULE_NOT_FOUND")
    assert (await client.get("/v1/alerts", headers=owner)).json()["items"] == []


async def test_who_changed_what_is_on_record_also_after_the_rule_is_gone(
    client: AsyncClient, owner: dict[str, str], worker_db: Database
) -> None:
    rule = await create(client, owner)
    path = f"/v1/alerts/{rule['id']}"
    await client.patch(path, json={"threshold": 90, "name": "More"}, headers=owner)
    await client.post(f"{path}/test", headers=owner)
    await client.delete(path, headers=owner)
    audit = (await client.get("/v1/alerts/audit", params={"limit": 3}, headers=owner)).json()
    rest = await client.get("/v1/alerts/audit", params={"cursor": audit["next_cursor"]}, headers=owner)
    entries = audit["items"] + rest.json()["items"]
    assert [e["action"] for e in entries] == ["deleted", "tested", "changed", "created"]
    assert {e["actor_user_id"] for e in entries} == {str(USER)}
    assert entries[2]["before"] == {"name": "Quota", "threshold": "80"}
    assert entries[2]["after"] == {"name": "More", "threshold": "90"}
    with pytest.raises(Exception, match="permission denied"):
        async with worker_db.begin() as session:
            await session.execute(text("DELETE FROM alert_audit"))


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"threshold": 0}, "VALIDATION_FAILED", "threshold"),
        ({"threshold": 1001}, "ALERT_RULE_INVALID", "threshold"),
        ({"name": "two\nlines"}, "VALIDATION_FAILED", "name"),
        ({"period": "hour"}, "ALERT_RULE_INVALID", "period"),
        ({"kind": "moon"}, "VALIDATION_FAILED", "kind"),
        ({"subscription_id": None}, "ALERT_RULE_INVALID", "subscription_id"),
        ({"subscription_id": str(UUID(int=3))}, "ALERT_SUBJECT_UNKNOWN", "subscription_id"),
    ],
)
async def test_what_cannot_be_watched_is_refused_by_its_field(
    client: AsyncClient, owner: dict[str, str], change: dict[str, Any], code: str, field: str
) -> None:
    answer = await client.post("/v1/alerts", json=RULE | change, headers=owner)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert field in answer.text


async def test_a_rule_is_made_once_under_its_idempotency_key(
    client: AsyncClient, owner: dict[str, str]
) -> None:
    headers = owner | {"Idempotency-Key": "one"}
    first, again = [await client.post("/v1/alerts", json=RULE, headers=headers) for _ in range(2)]
    assert first.json() == again.json()
    assert len((await client.get("/v1/alerts", headers=owner)).json()["items"]) == 1


async def test_rules_come_in_pages(client: AsyncClient, owner: dict[str, str]) -> None:
    made = [(await create(client, owner))["id"] for _ in range(3)]
    page = (await client.get("/v1/alerts", params={"limit": 2}, headers=owner)).json()
    rest = await client.get("/v1/alerts", params={"cursor": page["next_cursor"]}, headers=owner)
    assert [r["id"] for r in page["items"] + rest.json()["items"]] == made
    assert rest.json()["next_cursor"] is None


async def test_nobody_else_sees_changes_or_tests_a_rule(
    client: AsyncClient, owner: dict[str, str], tokens: TokenMaker, db: Database
) -> None:
    path = f"/v1/alerts/{(await create(client, owner))['id']}"
    for organisation in (PROVIDER_ORG, OTHER_ORG):
        other = tokens.headers(organisation_id=UUID(organisation), platform_admin=organisation == OTHER_ORG)
        answers = [
            await client.get(path, headers=other), await client.get(f"{path}/history", headers=other),
            await client.patch(path, json={"enabled": False}, headers=other),
            await client.delete(path, headers=other), await client.post(f"{path}/test", headers=other),
        ]  # fmt: skip
        assert {a.status_code for a in answers} == {404}
        assert (await client.get("/v1/alerts", headers=other)).json()["items"] == []
        assert (await client.get("/v1/alerts/audit", headers=other)).json()["items"] == []
    async with db.begin(Scope(organisation_id=UUID(PROVIDER_ORG))) as session:
        for table in ("alert_rule", "alert_crossing", "alert_audit"):
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0
    viewer = tokens.headers(organisation_id=UUID(CONSUMER_ORG), role="viewer")
    assert (await client.get(path, headers=viewer)).status_code == 200
    assert (await client.post(f"{path}/test", headers=viewer)).status_code == 403
    assert (await client.get("/v1/alerts/audit", headers=viewer)).status_code == 403


async def test_a_test_is_marked_as_one_and_not_repeated_at_once(
    client: AsyncClient, owner: dict[str, str], worker_db: Database, clock: FixedClock
) -> None:
    rule = await create(client, owner, silenced_until=(clock.now() + timedelta(days=1)).isoformat())
    path = f"/v1/alerts/{rule['id']}/test"
    sent = await client.post(path, headers=owner)
    [event] = [e["payload"] for e in await outbox_events(worker_db, "metering.alert.v1")]
    assert sent.status_code == 202
    assert (event["state"], event["silenced"], event["alert_id"]) == ("test", False, sent.json()["alert_id"])
    again = await client.post(path, headers=owner)
    assert (again.status_code, again.json()["code"]) == (429, "ALERT_TEST_TOO_SOON")
    clock.advance(minutes=1)
    assert (await client.post(path, headers=owner)).status_code == 202
    history = await client.get(f"/v1/alerts/{rule['id']}/history", headers=owner)
    assert history.json()["items"] == []  # nothing was crossed


async def test_the_history_says_when_it_was_crossed_and_when_that_was_over(
    client: AsyncClient, owner: dict[str, str], worker_db: Database
) -> None:
    rule = await create(client, owner)
    recorder = await Recorder(worker_db).begin()
    await recorder.record(*calls(1, 9))
    await look(worker_db)
    await client.patch(f"/v1/alerts/{rule['id']}", json={"threshold": 100}, headers=owner)
    async with worker_db.begin() as session:
        assert await evaluate_alerts(session, topic=TOPIC, now=NOW + timedelta(minutes=1), limit=9) == 1
    [item] = (await client.get(f"/v1/alerts/{rule['id']}/history", headers=owner)).json()["items"]
    assert (item["value"], item["threshold"], item["fired_at"]) == ("90.000", "80", "2026-11-15T12:00:00Z")
    assert (item["resolved_at"], item["resolved_value"]) == ("2026-11-15T12:01:00Z", "90.000")
