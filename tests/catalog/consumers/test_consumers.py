"""Events of others, out of order and twice."""

from uuid import UUID

from httpx import AsyncClient

from catalog.consumers.gateway_api import GatewayApiEvent, on_gateway_api
from catalog.consumers.organisation import OrganisationEvent, on_organisation
from common.db import Database
from tests.catalog.conftest import Caller
from tests.catalog.factories import ACME, a_plan_body, an_api_body, publish, register
from tests.support.clock import NOON
from tests.support.outbox import outbox_events


async def hear(worker_db: Database, *, version: int, slug: str = "acme", status: str = "active") -> None:
    event = OrganisationEvent(
        organisation_id=ACME, version=version, slug=slug, name="Acme Inc.", status=status
    )
    async with worker_db.begin() as session:
        await on_organisation(session, event, now=NOON)


async def test_a_new_slug_moves_what_stands_under_it(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await publish(client, acme())
    await client.post(f"/v1/apis/{api_id}/plans", json=a_plan_body(), headers=acme())
    before = len(await outbox_events(worker_db))
    await hear(worker_db, version=2, slug="acme-inc")
    events = (await outbox_events(worker_db))[before:]
    assert [(e["topic"], e["payload"]["provider_slug"]) for e in events] == [
        ("catalog.api.v1", "acme-inc"),
        ("catalog.plan.v1", "acme-inc"),
    ]
    assert (await client.get("/v1/providers/acme-inc/apis/rates")).json()["id"] == api_id
    assert (await client.get("/v1/providers/acme-inc")).json()["name"] == "Acme Inc."
    assert (await client.get("/v1/providers/acme/apis/rates")).status_code == 404


async def test_what_is_older_or_repeated_changes_nothing(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    await publish(client, acme())
    await hear(worker_db, version=2, slug="acme-inc")
    before = len(await outbox_events(worker_db))
    await hear(worker_db, version=1, slug="older")
    await hear(worker_db, version=2, slug="acme-inc")
    assert len(await outbox_events(worker_db)) == before
    assert (await client.get("/v1/providers/acme-inc")).status_code == 200


async def test_the_event_knows_better_than_an_old_token(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    await hear(worker_db, version=3, slug="acme-inc")
    await register(client, acme())
    assert (await outbox_events(worker_db))[-1]["payload"]["provider_slug"] == "acme-inc"


async def test_a_suspended_organisation_publishes_nothing_new(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await publish(client, acme())
    await client.post(f"/v1/apis/{api_id}/unpublish", headers=acme())
    await hear(worker_db, version=2, status="suspended")
    for path, body in (("/v1/apis", an_api_body(slug="more")), (f"/v1/apis/{api_id}/publish", None)):
        answer = await client.post(path, json=body, headers=acme())
        assert (answer.status_code, answer.json()["code"]) == (403, "ORGANISATION_SUSPENDED")
    await hear(worker_db, version=3)
    assert (await client.post(f"/v1/apis/{api_id}/publish", headers=acme())).status_code == 200


async def test_the_gateway_s_word_may_come_before_anything_else(worker_db: Database) -> None:
    event = GatewayApiEvent(api_id=UUID(int=7), version=1, state="live")
    async with worker_db.begin() as session:
        await on_gateway_api(session, event, now=NOON)
