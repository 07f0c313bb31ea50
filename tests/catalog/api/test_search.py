"""The public list."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import text

from common.db import Database
from tests.catalog.conftest import Caller
from tests.catalog.factories import a_plan_body, publish, register
from tests.support.clock import FixedClock


@pytest.fixture
async def shop(client: AsyncClient, acme: Caller, globex: Caller, clock: FixedClock) -> dict[str, str]:
    """Four published APIs and a draft; ids by slug."""
    offers: list[dict[str, Any]] = [
        {"slug": "rates", "name": "Exchange Rates", "description": "Currencies of the world, daily."},
        {"slug": "weather", "name": "Weather", "category": "data", "description": "Forecasts by the hour."},
        {"slug": "mail", "name": "Mail", "category": "communication", "description": "Sends payment reminders.",
         "tags": ["smtp"]},
        {"slug": "pay", "name": "Pay", "description": "Takes payments by card."},
    ]  # fmt: skip
    ids = {}
    for offer in offers:
        ids[offer["slug"]] = await publish(client, globex() if offer["slug"] == "pay" else acme(), **offer)
        clock.advance(minutes=1)
    await register(client, acme(), slug="draft", name="Payment draft")
    return ids


async def slugs(client: AsyncClient, **params: Any) -> list[str]:
    answer = await client.get("/v1/apis", params=params)
    assert answer.status_code == 200, answer.text
    return [item["slug"] for item in answer.json()["items"]]


async def test_everybody_finds_what_is_published_and_nothing_else(
    client: AsyncClient, shop: dict[str, str]
) -> None:
    assert sorted(await slugs(client)) == ["mail", "pay", "rates", "weather"]


async def test_owners_and_operators_find_no_drafts_in_the_public_list(
    client: AsyncClient, acme: Caller, admin: Caller, shop: dict[str, str]
) -> None:
    for headers in (acme(), admin()):
        found = (await client.get("/v1/apis", headers=headers)).json()
        assert found["total"] == 4


async def test_unlisted_and_private_apis_are_not_listed(client: AsyncClient, acme: Caller) -> None:
    for visibility in ("unlisted", "private"):
        api_id = await publish(client, acme(), slug=visibility, visibility=visibility)
        expected = 200 if visibility == "unlisted" else 404
        assert (await client.get(f"/v1/apis/{api_id}")).status_code == expected
    assert await slugs(client) == []


FOUND: list[tuple[str, list[str]]] = [
    ("currency", ["rates"]),  # the document says currencies
    ("payments", ["mail", "pay"]),
    ("curr", ["rates"]),
    ("smtp", ["mail"]),
    ("globex", ["pay"]),
    ("finance", ["pay", "rates"]),
    ('"exchange rates"', ["rates"]),
    ("weather or mail", ["mail", "weather"]),
    ("payment -card", ["mail", "pay"]),
    ("nothing of the kind", []),
    ("!!!", []),
    ("' & | ! ( ) :* <-> \\", []),
    ("draft", []),
]


async def test_words_find(client: AsyncClient, shop: dict[str, str]) -> None:
    for words, found in FOUND:
        assert sorted(await slugs(client, q=words)) == found, words


async def test_a_hit_in_the_name_comes_before_one_in_the_description(
    client: AsyncClient, shop: dict[str, str]
) -> None:
    assert await slugs(client, q="pay") == ["pay", "mail"]


async def test_categories_filter_and_their_facets_count_beside_the_filter(
    client: AsyncClient, shop: dict[str, str]
) -> None:
    page = (await client.get("/v1/apis", params={"category": "finance"})).json()
    assert sorted(item["slug"] for item in page["items"]) == ["pay", "rates"]
    assert page["total"] == 2
    assert {f["value"]: f["count"] for f in page["facets"]["category"]} == {
        "communication": 1, "data": 1, "finance": 2,
    }  # fmt: skip
    assert await slugs(client, tag="smtp") == ["mail"]


async def test_orders(client: AsyncClient, acme: Caller, shop: dict[str, str], worker_db: Database) -> None:
    assert await slugs(client, sort="newest") == ["pay", "mail", "weather", "rates"]
    assert await slugs(client, sort="name") == ["rates", "mail", "pay", "weather"]
    for slug, fee in (("weather", 500), ("mail", 0)):
        await client.post(f"/v1/apis/{shop[slug]}/plans", json=a_plan_body(fixed_fee=fee), headers=acme())
    assert await slugs(client, sort="price") == ["mail", "weather", "rates", "pay"]
    async with worker_db.begin() as session:
        await session.execute(text("UPDATE api SET total_calls = 9 WHERE slug = 'rates'"))
        await session.execute(text("UPDATE api SET featured = true WHERE slug = 'weather'"))
    assert (await slugs(client))[:2] == ["weather", "rates"]


@pytest.mark.parametrize("words", [None, "a payment or rates or weather or mail"])
async def test_every_order_pages_without_a_gap_or_a_repeat(
    client: AsyncClient, shop: dict[str, str], words: str | None
) -> None:
    for sort in ("relevance", "popular", "newest", "price", "name"):
        params: dict[str, Any] = {"sort": sort, "limit": 1} | ({"q": words} if words else {})
        whole = await slugs(client, **params | {"limit": 100})
        assert len(whole) == len(set(whole)) == 4
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (
                await client.get("/v1/apis", params=params | ({"cursor": cursor} if cursor else {}))
            ).json()
            seen += [item["slug"] for item in page["items"]]
            assert page["pages"] == page["total"] == len(whole)
            cursor = page["next_cursor"]
        assert seen == whole, sort


async def test_page_numbers_work_where_no_cursor_is_given(client: AsyncClient, shop: dict[str, str]) -> None:
    pages = [await slugs(client, sort="name", limit=3, page=number) for number in (1, 2, 3)]
    assert pages == [["rates", "mail", "pay"], ["weather"], []]


async def test_a_cursor_of_another_order_is_refused(client: AsyncClient, shop: dict[str, str]) -> None:
    page = (await client.get("/v1/apis", params={"sort": "name", "limit": 1})).json()
    for sort in ("newest", "price", "popular"):
        answer = await client.get("/v1/apis", params={"sort": sort, "cursor": page["next_cursor"]})
        assert answer.status_code == 422


async def test_what_cannot_be_asked_is_refused(client: AsyncClient) -> None:
    questions: list[dict[str, Any]] = [
        {"sort": "colour"}, {"limit": 0}, {"limit": 101}, {"page": 0}, {"q": "x" * 201},
    ]  # fmt: skip
    for params in questions:
        assert (await client.get("/v1/apis", params=params)).status_code == 422, params


async def test_a_provider_s_page_counts_what_is_public(client: AsyncClient, shop: dict[str, str]) -> None:
    page = (await client.get("/v1/providers/acme")).json()
    assert (page["slug"], page["apis"]) == ("acme", 3)
    missing = await client.get("/v1/providers/nobody")
    assert (missing.status_code, missing.json()["code"]) == (404, "PROVIDER_NOT_FOUND")


async def test_the_ten_categories_are_there(client: AsyncClient) -> None:
    items = (await client.get("/v1/categories")).json()["items"]
    assert len(items) == 10
    assert items[0] == {"slug": "ai-machine-learning", "name": "AI & Machine Learning"}
