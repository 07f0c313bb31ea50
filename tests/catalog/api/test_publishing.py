"""The life of an API, through the API."""

from dataclasses import replace

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from catalog.consumers.gateway_api import GatewayApiEvent, on_gateway_api
from common.db import Database
from tests.catalog.conftest import Caller
from tests.catalog.factories import publish, register
from tests.support.clock import NOON
from tests.support.outbox import outbox_events


@pytest.fixture
def moderated(app: FastAPI) -> None:
    """This marketplace reviews what is published first."""
    app.state.rules = replace(app.state.rules, moderated=True)


async def test_nothing_is_published_without_a_version(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    answer = await client.post(f"/v1/apis/{api_id}/publish", headers=acme())
    assert (answer.status_code, answer.json()["code"]) == (409, "API_HAS_NO_VERSION")


async def test_with_moderation_an_operator_decides(
    client: AsyncClient, acme: Caller, admin: Caller, moderated: None
) -> None:
    api_id = await publish(client, acme())
    api = (await client.get(f"/v1/apis/{api_id}", headers=acme())).json()
    assert (api["status"], api["published_at"]) == ("pending_review", None)
    assert (await client.get(f"/v1/apis/{api_id}")).status_code == 404

    waiting = (await client.get("/v1/admin/apis", headers=admin())).json()
    assert [item["id"] for item in waiting["items"]] == [api_id]
    rejected = await client.post(
        f"/v1/admin/apis/{api_id}/reject", json={"note": "Describe the limits."}, headers=admin()
    )
    assert rejected.json()["status"] == "rejected"
    own = (await client.get(f"/v1/apis/{api_id}", headers=acme())).json()
    assert own["review_note"] == "Describe the limits."

    assert (await client.post(f"/v1/apis/{api_id}/submit", headers=acme())).json()[
        "status"
    ] == "pending_review"
    approved = await client.post(f"/v1/admin/apis/{api_id}/approve", headers=admin())
    assert approved.json()["status"] == "published"
    seen = await client.get(f"/v1/apis/{api_id}")
    assert (seen.status_code, seen.json()["review_note"]) == (200, None)


async def test_a_suspended_api_is_gone_for_others_and_frozen_for_its_provider(
    client: AsyncClient, acme: Caller, admin: Caller
) -> None:
    api_id = await publish(client, acme())
    await client.post(f"/v1/admin/apis/{api_id}/suspend", json={"note": "Abuse."}, headers=admin())
    assert (await client.get(f"/v1/apis/{api_id}")).status_code == 404
    for method, path, body in (
        ("PATCH", "", {"name": "New name"}),
        ("POST", "/versions", {"name": "v2"}),
        ("POST", "/publish", None),
    ):
        answer = await client.request(method, f"/v1/apis/{api_id}{path}", json=body, headers=acme())
        assert answer.status_code == 409, path
    back = await client.post(f"/v1/admin/apis/{api_id}/reinstate", headers=admin())
    assert back.json()["status"] == "published"


async def test_publishing_twice_is_publishing_once(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await publish(client, acme())
    before = len(await outbox_events(worker_db))
    again = await client.post(f"/v1/apis/{api_id}/publish", headers=acme())
    assert (again.status_code, again.json()["status"]) == (200, "published")
    assert len(await outbox_events(worker_db)) == before


async def test_to_the_end_of_a_life(client: AsyncClient, acme: Caller) -> None:
    api_id = await publish(client, acme())
    answer = await client.post(f"/v1/apis/{api_id}/retire", headers=acme())
    assert (answer.status_code, answer.json()["code"]) == (409, "INVALID_TRANSITION")
    assert "deprecate" in answer.json()["detail"]
    for action, status, visible in (("deprecate", "deprecated", 200), ("retire", "retired", 404)):
        answer = await client.post(f"/v1/apis/{api_id}/{action}", headers=acme())
        assert answer.json()["status"] == status
        assert (await client.get(f"/v1/apis/{api_id}")).status_code == visible


async def test_an_unknown_action_is_refused(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    for action in ("approve", "explode"):
        assert (await client.post(f"/v1/apis/{api_id}/{action}", headers=acme())).status_code == 422


async def test_what_the_gateway_says_is_shown_and_its_reason_to_the_provider_only(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await publish(client, acme())
    event = {"api_id": api_id, "proxy_url": "http://gw/acme/rates", "reason": "upstream refused"}
    for version, state in ((2, "live"), (1, "failed")):  # the older one comes late
        async with worker_db.begin() as session:
            model = GatewayApiEvent.model_validate(event | {"version": version, "state": state})
            await on_gateway_api(session, model, now=NOON)
    own = (await client.get(f"/v1/apis/{api_id}", headers=acme())).json()["gateway"]
    assert own == {"state": "live", "reason": "upstream refused", "proxy_url": "http://gw/acme/rates"}
    assert (await client.get(f"/v1/apis/{api_id}")).json()["gateway"]["reason"] is None
