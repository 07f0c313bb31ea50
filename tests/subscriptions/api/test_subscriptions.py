"""Subscribing, and what both sides do with a subscription."""

from typing import Any

import pytest
from httpx import AsyncClient

from common.db import Database
from subscriptions.consumers.api import on_api
from subscriptions.consumers.gateway_subscription import GatewaySubscriptionEvent, on_gateway_subscription
from subscriptions.consumers.plan import on_plan
from subscriptions.consumers.quota import QuotaEvent, on_quota
from tests.subscriptions.conftest import Caller
from tests.subscriptions.factories import (
    INITECH,
    PLAN,
    a_plan_event,
    an_api_event,
    put_on_sale,
    set_standing,
    some_terms,
    subscribe,
)
from tests.support.clock import NOON, FixedClock
from tests.support.outbox import outbox_events

BODY = {"plan_id": str(PLAN)}


async def act(
    client: AsyncClient, headers: dict[str, str], subscription_id: str, action: str, **body: Any
) -> Any:
    path = f"/v1/subscriptions/{subscription_id}/{action}"
    return await client.post(path, json=body or None, headers=headers)


async def test_one_live_subscription_per_api(client: AsyncClient, globex: Caller, on_sale: None) -> None:
    first = (await subscribe(client, globex()))["subscription"]
    again = await client.post("/v1/subscriptions", json=BODY, headers=globex())
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_SUBSCRIBED")
    assert (await act(client, globex(), first["id"], "cancel")).status_code == 200
    assert (await subscribe(client, globex()))["subscription"]["id"] != first["id"]


async def test_the_same_request_again_is_one_subscription_and_shows_no_key(
    client: AsyncClient, globex: Caller, tokens: Any, on_sale: None, worker_db: Database
) -> None:
    headers = globex() | {"Idempotency-Key": "subscribe"}
    first = await client.post("/v1/subscriptions", json=BODY, headers=headers)
    again = await client.post("/v1/subscriptions", json=BODY, headers=headers)
    assert first.json()["key"]["key"]
    assert (again.status_code, again.json()["key"]) == (201, None)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["subscription"] == first.json()["subscription"]
    assert len(await outbox_events(worker_db)) == 2


async def test_a_plan_that_was_not_heard_of_is_not_found_and_may_be_on_its_way(
    client: AsyncClient, globex: Caller
) -> None:
    answer = await client.post("/v1/subscriptions", json=BODY, headers=globex())
    assert (answer.status_code, answer.json()["code"]) == (404, "PLAN_NOT_FOUND")
    assert "try again" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("api", "status"),
    [
        ({"status": "draft"}, 404),
        ({"visibility": "private"}, 404),
        ({"status": "suspended"}, 404),
        ({"status": "deprecated"}, 409),
    ],
)
async def test_what_is_not_on_sale_takes_no_subscriptions(
    client: AsyncClient, globex: Caller, worker_db: Database, api: dict[str, str], status: int
) -> None:
    await put_on_sale(worker_db)
    async with worker_db.begin() as session:
        await on_api(session, an_api_event(version=4, **api), now=NOON)
    answer = await client.post("/v1/subscriptions", json=BODY, headers=globex())
    assert answer.status_code == status


async def test_a_plan_edited_after_the_sale_changes_nothing(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    sold = (await subscribe(client, globex()))["subscription"]
    async with worker_db.begin() as session:
        await on_plan(session, a_plan_event(version=2, terms=some_terms(fixed_fee=9900)), now=NOON)
    kept = (await client.get(f"/v1/subscriptions/{sold['id']}", headers=globex())).json()
    assert kept["terms"]["fixed_fee"] == 1900
    assert kept["version"] == 1


async def test_approval_is_the_provider_s_and_makes_no_key(
    client: AsyncClient, globex: Caller, acme: Caller, worker_db: Database, clock: FixedClock
) -> None:
    await put_on_sale(worker_db, requires_approval=True)
    created = await subscribe(client, globex())
    waiting = created["subscription"]
    assert (waiting["status"], waiting["phases"], created["key"]) == ("pending_approval", [], None)
    early = await client.post(f"/v1/subscriptions/{waiting['id']}/keys", json={"name": "k"}, headers=globex())
    assert (early.status_code, early.json()["code"]) == (409, "SUBSCRIPTION_NOT_LIVE")
    assert (await act(client, globex(), waiting["id"], "approve")).status_code == 404

    clock.advance(hours=3)
    approved = await act(client, acme(), waiting["id"], "approve")
    assert approved.json()["status"] == "active"
    assert approved.json()["phases"][0]["from"] == approved.json()["started_at"] == "2026-11-15T15:00:00Z"
    assert await outbox_events(worker_db, "subscriptions.key.v1") == []
    key = await client.post(f"/v1/subscriptions/{waiting['id']}/keys", json={"name": "k"}, headers=globex())
    assert key.status_code == 201


async def test_a_rejected_subscription_says_why_and_makes_room(
    client: AsyncClient, globex: Caller, acme: Caller, worker_db: Database
) -> None:
    await put_on_sale(worker_db, requires_approval=True)
    waiting = (await subscribe(client, globex()))["subscription"]
    rejected = await act(client, acme(), waiting["id"], "reject", reason="Not for competitors.")
    assert (rejected.json()["status"], rejected.json()["reason"]) == ("rejected", "Not for competitors.")
    assert (await subscribe(client, globex()))["subscription"]["status"] == "pending_approval"


async def test_pause_resume_and_cancel_are_the_consumer_s(
    client: AsyncClient, globex: Caller, acme: Caller, on_sale: None, clock: FixedClock, worker_db: Database
) -> None:
    subscription_id = (await subscribe(client, globex()))["subscription"]["id"]
    for action, status in (
        ("pause", "paused"),
        ("pause", "paused"),
        ("resume", "active"),
        ("cancel", "canceled"),
    ):
        assert (await act(client, acme(), subscription_id, action)).status_code == 404
        clock.advance(days=1)
        answer = await act(client, globex(), subscription_id, action)
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    over = await act(client, globex(), subscription_id, "resume")
    assert (over.status_code, over.json()["code"]) == (409, "INVALID_TRANSITION")
    events = [e["payload"] for e in await outbox_events(worker_db, "subscriptions.subscription.v1")]
    assert [(e["version"], e["status"]) for e in events] == [
        (1, "active"), (2, "paused"), (3, "active"), (4, "canceled"),
    ]  # fmt: skip
    assert events[-1]["phases"][0]["until"] == events[-1]["canceled_at"] == "2026-11-19T12:00:00Z"


async def test_a_change_from_a_stale_state_is_refused(
    client: AsyncClient, globex: Caller, on_sale: None
) -> None:
    path = f"/v1/subscriptions/{(await subscribe(client, globex()))['subscription']['id']}"
    read = await client.get(path, headers=globex())
    headers = globex() | {"If-Match": read.headers["ETag"]}
    assert (await client.post(f"{path}/pause", headers=headers)).status_code == 200
    assert (await client.post(f"{path}/resume", headers=headers)).status_code == 412


async def test_an_overdue_invoice_stops_what_is_active_and_paying_restores_it(
    client: AsyncClient, globex: Caller, acme: Caller, on_sale: None, worker_db: Database
) -> None:
    subscription_id = (await subscribe(client, globex()))["subscription"]["id"]
    await set_standing(worker_db, "past_due", version=1)
    path = f"/v1/subscriptions/{subscription_id}"
    stopped = (await client.get(path, headers=globex())).json()
    assert (stopped["status"], stopped["reason"]) == ("past_due", "payment_past_due")
    await set_standing(worker_db, "good", version=2)
    await set_standing(worker_db, "past_due", version=1)  # the old word, once more
    assert (await client.get(path, headers=globex())).json()["status"] == "active"


async def test_with_an_overdue_invoice_nothing_new_begins(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    subscription_id = (await subscribe(client, globex()))["subscription"]["id"]
    await act(client, globex(), subscription_id, "pause")
    await set_standing(worker_db, "past_due", version=1)
    answer = await act(client, globex(), subscription_id, "resume")
    assert (answer.status_code, answer.json()["code"]) == (402, "PAYMENT_PAST_DUE")
    await set_standing(worker_db, "good", version=2)
    kept = (await client.get(f"/v1/subscriptions/{subscription_id}", headers=globex())).json()
    assert kept["status"] == "paused"
    await act(client, globex(), subscription_id, "cancel")
    await set_standing(worker_db, "past_due", version=3)
    answer = await client.post("/v1/subscriptions", json=BODY, headers=globex())
    assert (answer.status_code, answer.json()["code"]) == (402, "PAYMENT_PAST_DUE")


async def test_approved_with_an_overdue_invoice_waits_for_the_payment(
    client: AsyncClient, globex: Caller, acme: Caller, worker_db: Database
) -> None:
    await put_on_sale(worker_db, requires_approval=True)
    subscription_id = (await subscribe(client, globex()))["subscription"]["id"]
    await set_standing(worker_db, "past_due", version=1)
    approved = await act(client, acme(), subscription_id, "approve")
    assert approved.json()["status"] == "past_due"
    await set_standing(worker_db, "good", version=2)
    seen = (await client.get(f"/v1/subscriptions/{subscription_id}", headers=globex())).json()
    assert seen["status"] == "active"


async def test_what_gateway_and_metering_say_is_shown(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    subscription_id = (await subscribe(client, globex()))["subscription"]["id"]
    quota = {"subscription_id": subscription_id, "period": "2026-11", "limit": 100, "until": None}
    async with worker_db.begin() as session:
        for version, state, used in ((2, "warning", 90), (1, "ok", 10)):  # the older ones come late
            gateway = {"subscription_id": subscription_id, "version": version}
            live = GatewaySubscriptionEvent.model_validate(
                gateway | {"state": "live" if version == 2 else "pending"}
            )
            await on_gateway_subscription(session, live, now=NOON)
            event = QuotaEvent.model_validate(quota | {"version": version, "state": state, "used": used})
            await on_quota(session, event, now=NOON)
    shown = (await client.get(f"/v1/subscriptions/{subscription_id}", headers=globex())).json()
    assert shown["gateway"] == {"state": "live", "reason": None}
    assert shown["quota"] == {
        "period": "2026-11",
        "limit": 100,
        "used": 90,
        "state": "warning",
        "until": None,
    }
    listed = (await client.get("/v1/subscriptions", headers=globex())).json()
    assert listed["items"][0]["gateway"]["state"] == "live"
    lifted = QuotaEvent.model_validate(quota | {"version": 3, "state": "ok", "used": 90, "limit": None})
    async with worker_db.begin() as session:
        await on_quota(session, lifted, now=NOON)
    shown = (await client.get(f"/v1/subscriptions/{subscription_id}", headers=globex())).json()
    assert shown["quota"]["limit"] is None


async def test_lists_filter_and_page(
    client: AsyncClient, globex: Caller, acme: Caller, on_sale: None
) -> None:
    ids = []
    for _ in range(3):
        ids.append((await subscribe(client, globex()))["subscription"]["id"])
        await act(client, globex(), ids[-1], "cancel")
    ids.append((await subscribe(client, globex()))["subscription"]["id"])
    for path, headers in (("/v1/subscriptions", globex()), ("/v1/provider/subscriptions", acme())):
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await client.get(path, params=params, headers=headers)).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert seen == ids[::-1]
        live = (await client.get(path, params={"status": "active"}, headers=headers)).json()
        assert [item["id"] for item in live["items"]] == ids[-1:]
        none = (await client.get(path, params={"api_id": str(INITECH)}, headers=headers)).json()
        assert none["items"] == []
        assert (await client.get(path, params={"cursor": "WyJ4Il0"}, headers=headers)).status_code == 422
