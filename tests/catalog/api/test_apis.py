"""Registering, editing and deleting an API."""

from typing import Any

import pytest
from httpx import AsyncClient

from common.db import Database
from tests.catalog.conftest import Caller
from tests.catalog.factories import a_plan_body, an_api_body, publish, register
from tests.support.outbox import outbox_events


async def test_settings_are_the_providers_and_the_gateway_hears_of_them(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await publish(client, acme())
    path = f"/v1/apis/{api_id}"
    sent = {"retries": 1, "blocked_ips": ["192.0.2.0/24"], "maintenance": {"until": "2026-12-01T06:00:00Z"}}
    answer = await client.patch(path, json={"settings": sent}, headers=acme())
    assert answer.status_code == 200, answer.text
    changed = await client.patch(path, json={"settings": {"maintenance": None}}, headers=acme())
    settings = changed.json()["settings"]
    assert (settings["retries"], settings["blocked_ips"]) == (1, ["192.0.2.0/24"])
    assert settings["maintenance"] is None
    assert settings["timeouts"] == {"connect_ms": 5_000, "read_ms": 60_000, "write_ms": 60_000}
    assert (await client.get(path)).json()["settings"] is None
    told = [e["payload"]["settings"] for e in await outbox_events(worker_db, "catalog.api.v1")][-2:]
    assert [t["maintenance"] is None for t in told] == [False, True]
    same = await client.patch(path, json={"settings": {"retries": 1}}, headers=acme())
    assert same.headers["ETag"] == changed.headers["ETag"]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"retries": 6}, "body.settings.retries"),
        ({"timeouts": {"read_ms": 1}}, "body.settings.timeouts.read_ms"),
        ({"max_body_mb": 0}, "body.settings.max_body_mb"),
        ({"maintenance": {"until": "2026-12-01T06:00:00"}}, "body.settings.maintenance.until"),
        ({"unheard_of": 1}, "body.settings.unheard_of"),
        ({"blocked_ips": ["here"]}, "settings.blocked_ips"),
        ({"request_headers": {"remove": ["Host"]}}, "settings.request_headers.remove"),
    ],
)
async def test_a_setting_that_cannot_be_is_named(
    client: AsyncClient, acme: Caller, sent: dict[str, Any], field: str
) -> None:
    api_id = await publish(client, acme())
    answer = await client.patch(f"/v1/apis/{api_id}", json={"settings": sent}, headers=acme())
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_two_drafts_cannot_share_a_slug_within_a_provider(
    client: AsyncClient, acme: Caller, globex: Caller, worker_db: Database
) -> None:
    await register(client, acme())
    again = await client.post("/v1/apis", json=an_api_body(), headers=acme())
    assert (again.status_code, again.json()["code"]) == (409, "API_SLUG_TAKEN")
    await register(client, globex())
    assert len(await outbox_events(worker_db)) == 2


BROKEN_RULES: list[tuple[dict[str, Any], str]] = [
    ({"slug": "v1"}, "BAD_SLUG"),
    ({"slug": "Not A Slug"}, "BAD_SLUG"),
    ({"category": "cars"}, "UNKNOWN_CATEGORY"),
    ({"base_url": "http://api.example.com"}, "BAD_BASE_URL"),
    ({"base_url": "https://169.254.169.254/latest"}, "BAD_BASE_URL"),
    ({"base_url": "http://127.0.0.1:8112"}, "BAD_BASE_URL"),
    ({"name": "x"}, "VALIDATION_FAILED"),
    ({"name": "with \x00 inside"}, "VALIDATION_FAILED"),
    ({"description": "too short"}, "VALIDATION_FAILED"),
    ({"tags": ["Not a tag"]}, "VALIDATION_FAILED"),
    ({"cors_origins": ["https://a.example/path"]}, "VALIDATION_FAILED"),
    ({"website": "javascript:alert(1)"}, "VALIDATION_FAILED"),
    ({"colour": "red"}, "VALIDATION_FAILED"),
]


async def test_a_broken_rule_is_told_with_its_code(client: AsyncClient, acme: Caller) -> None:
    for overrides, code in BROKEN_RULES:
        answer = await client.post("/v1/apis", json=an_api_body(**overrides), headers=acme())
        assert (answer.status_code, answer.json()["code"]) == (422, code), overrides
        assert answer.json()["errors"]


async def test_a_category_may_be_given_by_its_name(client: AsyncClient, acme: Caller) -> None:
    for number, category in enumerate(("Finance", "finance", "AI & Machine Learning")):
        body = an_api_body(slug=f"rates-{number}", category=category)
        made = await client.post("/v1/apis", json=body, headers=acme())
        assert made.status_code == 201, made.text
        assert made.json()["category"] in ("finance", "ai-machine-learning")
    edited = await client.patch(f"/v1/apis/{made.json()['id']}", json={"category": "Data"}, headers=acme())
    assert edited.json()["category"] == "data"


async def test_a_lone_surrogate_is_refused_not_stored(client: AsyncClient, acme: Caller) -> None:
    body = b'{"slug":"rates","name":"ra\\ud800tes","description":"long enough text","category":"finance",' \
           b'"base_url":"https://api.example.com"}'  # fmt: skip
    answer = await client.post(
        "/v1/apis", content=body, headers=acme() | {"Content-Type": "application/json"}
    )
    assert answer.status_code == 422


async def test_the_same_request_again_is_one_api(
    client: AsyncClient, acme: Caller, tokens: Any, worker_db: Database
) -> None:
    headers = acme() | {"Idempotency-Key": "create-rates"}
    first = await client.post("/v1/apis", json=an_api_body(), headers=headers)
    again = await client.post("/v1/apis", json=an_api_body(), headers=headers)
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(await outbox_events(worker_db)) == 1


async def test_only_what_was_sent_is_changed(client: AsyncClient, acme: Caller, worker_db: Database) -> None:
    api_id = await register(client, acme(), website="https://acme.example", tags=["money"])
    answer = await client.patch(
        f"/v1/apis/{api_id}", json={"name": "Rates 2", "website": None}, headers=acme()
    )
    assert answer.status_code == 200
    after = answer.json()
    assert (after["name"], after["website"], after["tags"], after["version"]) == (
        "Rates 2",
        None,
        ["money"],
        2,
    )
    assert (await outbox_events(worker_db))[-1]["payload"]["name"] == "Rates 2"


async def test_a_change_that_changes_nothing_makes_no_event(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await register(client, acme())
    answer = await client.patch(f"/v1/apis/{api_id}", json={"name": "Rates"}, headers=acme())
    assert answer.json()["version"] == 1
    assert len(await outbox_events(worker_db)) == 1


UNCHANGEABLE: list[dict[str, Any]] = [
    {"slug": "other"},
    {"name": None},
    {"base_url": "https://10.0.0.1"},
    {"category": "cars"},
    {"status": "published"},
]


async def test_what_cannot_change_is_refused(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    for change in UNCHANGEABLE:
        answer = await client.patch(f"/v1/apis/{api_id}", json=change, headers=acme())
        assert answer.status_code == 422, change


async def test_two_editors_do_not_overwrite_each_other(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    read = await client.get(f"/v1/apis/{api_id}", headers=acme())
    headers = acme() | {"If-Match": read.headers["ETag"]}
    first = await client.patch(f"/v1/apis/{api_id}", json={"name": "One"}, headers=headers)
    second = await client.patch(f"/v1/apis/{api_id}", json={"name": "Two"}, headers=headers)
    assert first.status_code == 200
    assert first.headers["ETag"] != read.headers["ETag"]
    assert (second.status_code, second.json()["code"]) == (412, "PRECONDITION_FAILED")


async def test_a_deleted_draft_is_told_of_as_retired_with_all_that_hung_on_it(
    client: AsyncClient, acme: Caller, worker_db: Database
) -> None:
    api_id = await register(client, acme())
    await client.post(f"/v1/apis/{api_id}/versions", json={"name": "v1"}, headers=acme())
    await client.post(f"/v1/apis/{api_id}/plans", json=a_plan_body(), headers=acme())
    before = len(await outbox_events(worker_db))
    assert (await client.delete(f"/v1/apis/{api_id}", headers=acme())).status_code == 204
    assert (await client.get(f"/v1/apis/{api_id}", headers=acme())).status_code == 404
    last = [(e["topic"], e["payload"]) for e in (await outbox_events(worker_db))[before:]]
    assert [(topic, payload.get("status") or payload.get("state")) for topic, payload in last] == [
        ("catalog.plan.v1", "archived"),
        ("catalog.version.v1", "sunset"),
        ("catalog.api.v1", "retired"),
    ]
    await register(client, acme())


async def test_what_was_public_is_not_deleted(client: AsyncClient, acme: Caller) -> None:
    api_id = await publish(client, acme())
    await client.post(f"/v1/apis/{api_id}/unpublish", headers=acme())
    answer = await client.delete(f"/v1/apis/{api_id}", headers=acme())
    assert (answer.status_code, answer.json()["code"]) == (409, "API_WAS_PUBLISHED")


async def test_own_apis_come_in_pages_the_newest_first(client: AsyncClient, acme: Caller) -> None:
    ids = [await register(client, acme(), slug=f"api-{n}") for n in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/provider/apis", params=params, headers=acme())).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids[::-1]


async def test_a_cursor_that_is_not_ours_is_refused(client: AsyncClient, acme: Caller) -> None:
    for cursor in ("x", "W10", "bm90IGpzb24", "WyJ4Il0", "WzFd", "WzEsMl0"):
        for path in ("/v1/provider/apis", "/v1/apis"):
            answer = await client.get(path, params={"cursor": cursor}, headers=acme())
            assert answer.status_code == 422, (path, cursor)
