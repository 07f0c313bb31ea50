"""Pricing an API."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from common.db import Database
from tests.catalog.conftest import Caller
from tests.catalog.factories import a_plan_body, publish, register
from tests.support.outbox import outbox_events


async def test_a_plan_s_event_carries_what_billing_and_the_gateway_need(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await register(client, acme())
    plan = (await client.post(f"/v1/apis/{api_id}/plans", json=a_plan_body(), headers=acme())).json()
    event = (await outbox_events(worker_db, "catalog.plan.v1"))[0]["payload"]
    assert (event["plan_id"], event["plan_version_id"]) == (plan["id"], plan["plan_version_id"])
    assert (event["api_slug"], event["provider_slug"], event["status"]) == ("rates", "acme", "active")
    terms = event["terms"]
    assert terms["usage_price"]["tiers"] == a_plan_body()["usage_price"]["tiers"]
    assert terms["rate_limits"] == {"second": 10, "minute": 100, "hour": None, "day": None}
    assert (terms["first_period_allowance"], terms["trial_days"], terms["quota"]) == ("prorated", 0, None)


CONTRADICTIONS: list[dict[str, Any]] = [
    {"currency": "EURO"},
    {"currency": "QQQ"},
    {"fixed_fee": 19.5},
    {"fixed_fee": "1900"},
    {"fixed_fee": -1},
    {"usage_price": {"model": "per_unit", "unit_price": 0.5}},
    {"usage_price": {"model": "per_unit", "unit_price": "NaN"}},
    {"usage_price": {"model": "per_unit", "unit_price": "-1"}},
    {"usage_price": {"model": "percentage"}},
    {"usage_price": {"model": "graduated", "tiers": [{"up_to": 10, "unit_price": "1"}]}},
    {"rate_limits": {"second": 10, "minute": 5}},
    {"rate_limits": {"week": 5}},
    {"quota": 10, "included_requests": 100},
    {"billing_period": "yearly"},
]


async def test_terms_that_contradict_themselves_are_refused(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    for change in CONTRADICTIONS:
        answer = await client.post(f"/v1/apis/{api_id}/plans", json=a_plan_body(**change), headers=acme())
        assert answer.status_code == 422, change
        assert answer.json()["code"] in {"BAD_TERMS", "VALIDATION_FAILED"}
        assert answer.json()["errors"]


async def test_plans_of_an_api_have_different_names(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    path = f"/v1/apis/{api_id}/plans"
    assert (await client.post(path, json=a_plan_body(), headers=acme())).status_code == 201
    again = await client.post(path, json=a_plan_body(fixed_fee=1), headers=acme())
    assert (again.status_code, again.json()["code"]) == (409, "PLAN_NAME_TAKEN")


async def test_other_terms_are_a_new_plan_version_and_the_old_one_stays(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await register(client, acme())
    path = f"/v1/apis/{api_id}/plans"
    first = (await client.post(path, json=a_plan_body(), headers=acme())).json()
    answer = await client.put(f"{path}/{first['id']}", json=a_plan_body(fixed_fee=2900), headers=acme())
    second = answer.json()
    assert (second["number"], second["version"], second["fixed_fee"]) == (2, 2, 2900)
    assert second["plan_version_id"] != first["plan_version_id"]
    async with worker_db.begin() as session:
        rows = (await session.execute(text("SELECT number, terms FROM plan_version ORDER BY number"))).all()
    assert [(row.number, row.terms["fixed_fee"]) for row in rows] == [(1, 1900), (2, 2900)]


async def test_a_plan_version_cannot_be_changed_even_by_the_worker(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await register(client, acme())
    await client.post(f"/v1/apis/{api_id}/plans", json=a_plan_body(), headers=acme())
    with pytest.raises(DBAPIError, match="never changes"):
        async with worker_db.begin() as session:
            await session.execute(text("UPDATE plan_version SET number = 7"))


async def test_saying_the_same_again_changes_nothing(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await register(client, acme())
    path = f"/v1/apis/{api_id}/plans"
    first = (await client.post(path, json=a_plan_body(), headers=acme())).json()
    again = (await client.put(f"{path}/{first['id']}", json=a_plan_body(), headers=acme())).json()
    assert again == first
    assert len(await outbox_events(worker_db, "catalog.plan.v1")) == 1


async def test_an_archived_plan_is_sold_no_more_and_seen_by_its_provider_only(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await publish(client, acme())
    path = f"/v1/apis/{api_id}/plans"
    plan = (await client.post(path, json=a_plan_body(), headers=acme())).json()
    assert len((await client.get(path)).json()["items"]) == 1
    archived = await client.put(f"{path}/{plan['id']}", json=a_plan_body(status="archived"), headers=acme())
    assert (archived.json()["status"], archived.json()["plan_version_id"]) == (
        "archived",
        plan["plan_version_id"],
    )
    assert (await client.get(path)).json()["items"] == []
    assert len((await client.get(path, headers=acme())).json()["items"]) == 1
    again = await client.put(f"{path}/{plan['id']}", json=a_plan_body(), headers=acme())
    assert (again.status_code, again.json()["code"]) == (409, "PLAN_ARCHIVED")
    assert (await client.get(f"/v1/apis/{api_id}")).json()["lowest_fee"] is None


async def test_a_name_that_another_plan_has_is_refused(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    path = f"/v1/apis/{api_id}/plans"
    await client.post(path, json=a_plan_body(name="Free"), headers=acme())
    plan = (await client.post(path, json=a_plan_body(), headers=acme())).json()
    answer = await client.put(f"{path}/{plan['id']}", json=a_plan_body(name="Free"), headers=acme())
    assert (answer.status_code, answer.json()["code"]) == (409, "PLAN_NAME_TAKEN")


async def test_a_plan_is_found_under_its_own_api_only(client: AsyncClient, acme: Caller) -> None:
    one, two = await register(client, acme()), await register(client, acme(), slug="other")
    plan = (await client.post(f"/v1/apis/{one}/plans", json=a_plan_body(), headers=acme())).json()
    answer = await client.put(f"/v1/apis/{two}/plans/{plan['id']}", json=a_plan_body(), headers=acme())
    assert (answer.status_code, answer.json()["code"]) == (404, "PLAN_NOT_FOUND")


async def test_a_plan_posted_again_under_its_key_is_one_plan(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    headers = acme() | {"Idempotency-Key": "plan"}
    answers = [
        await client.post(f"/v1/apis/{api_id}/plans", json=a_plan_body(), headers=headers) for _ in range(2)
    ]
    assert answers[0].status_code == 201
