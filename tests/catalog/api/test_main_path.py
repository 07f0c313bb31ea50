"""From a draft to something that others can find, price included."""

from httpx import AsyncClient

from common.db import Database
from tests.catalog.conftest import Caller
from tests.catalog.factories import a_document_text, a_plan_body, an_api_body
from tests.support.outbox import outbox_events


async def test_a_provider_registers_describes_prices_and_publishes(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    created = await client.post("/v1/apis", json=an_api_body(), headers=acme())
    assert created.status_code == 201
    api = created.json()
    assert (api["status"], api["gateway"]["state"]) == ("draft", "not_provisioned")

    path = f"/v1/apis/{api['id']}"
    imported = await client.put(f"{path}/versions/v1/openapi", content=a_document_text(), headers=acme())
    assert imported.status_code == 200, imported.text
    assert imported.json() == {
        "version": "v1", "operations": 2, "openapi": "3.0.3", "title": "Rates", "warnings": [],
    }  # fmt: skip

    plan = await client.post(f"{path}/plans", json=a_plan_body(), headers=acme())
    assert plan.status_code == 201, plan.text
    assert plan.json()["usage_price"]["tiers"][0]["unit_price"] == "0.5"

    published = await client.post(f"{path}/publish", headers=acme())
    assert published.status_code == 200, published.text
    assert published.json()["status"] == "published"
    assert published.json()["gateway"]["state"] == "pending"

    listed = (await client.get("/v1/apis", params={"q": "exchange rat"})).json()
    assert [item["id"] for item in listed["items"]] == [api["id"]]
    assert (listed["total"], listed["pages"], listed["next_cursor"]) == (1, 1, None)
    assert listed["facets"]["category"] == [{"value": "finance", "name": "Finance", "count": 1}]
    assert listed["items"][0]["base_url"] is None

    by_name = await client.get("/v1/providers/acme/apis/rates")
    assert by_name.json()["id"] == api["id"]

    types = [(event["topic"], event["payload"].get("status")) for event in await outbox_events(worker_db)]
    assert types == [
        ("catalog.api.v1", "draft"),
        ("catalog.version.v1", None),
        ("catalog.api.v1", "draft"),
        ("catalog.version.v1", None),
        ("catalog.plan.v1", "active"),
        ("catalog.api.v1", "published"),
    ]
    version = (await outbox_events(worker_db, "catalog.version.v1"))[-1]["payload"]
    assert [(e["method"], e["path"], e["weight"]) for e in version["endpoints"]] == [
        ("GET", "/rates/{currency}", 1),
        ("GET", "/rates", 1),
    ]
