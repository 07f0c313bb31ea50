"""Events of others, out of order and twice."""

from decimal import Decimal
from uuid import UUID

from httpx import AsyncClient

from catalog.consumers.api_measured import ApiMeasuredEvent, on_api_measured
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


async def measured(worker_db: Database, api_id: str, *, version: int, calls: int) -> None:
    event = ApiMeasuredEvent(
        api_id=UUID(api_id), version=version, days=30, calls=calls, subscribers=3, latency_ms_p50=40,
        latency_ms_p95=181, uptime_percent=Decimal("99.982"), measured_at=NOON,
    )  # fmt: skip
    async with worker_db.begin() as session:
        await on_api_measured(session, event, now=NOON)


async def test_an_api_shows_its_statistics_and_the_most_called_stands_first(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    ids = {slug: await publish(client, acme(), slug=slug) for slug in ("rates", "quiet", "news")}
    assert (await client.get(f"/v1/apis/{ids['rates']}")).json()["statistics"] is None
    for slug, version, calls in (("rates", 4, 7), ("news", 1, 900), ("rates", 5, 1000), ("rates", 3, 1)):
        await measured(worker_db, ids[slug], version=version, calls=calls)
    shown = (await client.get("/v1/apis", params={"sort": "popular"})).json()["items"]
    assert [(item["slug"], (item["statistics"] or {}).get("calls")) for item in shown] == [
        ("rates", 1000), ("news", 900), ("quiet", None),
    ]  # fmt: skip
    assert (await client.get(f"/v1/apis/{ids['rates']}")).json()["statistics"] == {
        "days": 30, "calls": 1000, "subscribers": 3, "latency_ms_p50": 40, "latency_ms_p95": 181,
        "uptime_percent": "99.982", "measured_at": NOON.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    await client.patch(f"/v1/apis/{ids['rates']}", json={"name": "Rates of the day"}, headers=acme())
    assert (await client.get("/v1/apis")).json()["items"][0]["name"] == "Rates of the day"


async def test_metering_s_word_may_come_before_anything_else(worker_db: Database) -> None:
    await measured(worker_db, str(UUID(int=7)), version=1, calls=1)
