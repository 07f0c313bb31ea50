from __future__ import annotations

import pytest
from httpx import AsyncClient

from common.db import Database
from common.pagination import encode_cursor
from tests.metering.api.usage.asking import as_member, get
from tests.metering.factories import (
    CONSUMER_ORG,
    ENDPOINT,
    KEY,
    PROVIDER_ORG,
    SUBSCRIPTION,
    VERSION,
    an_entry,
    request_id,
)
from tests.metering.recording import Recorder
from tests.support.tokens import TokenMaker


@pytest.mark.usefixtures("recorded")
async def test_requests_can_be_narrowed_down(
    client: AsyncClient, tokens: TokenMaker, worker_db: Database
) -> None:
    recorder = await Recorder(worker_db).begin()
    await recorder.record(
        an_entry(30, method="POST", latencies={"request": 900, "proxy": 3, "kong": 6}),
        an_entry(31, consumer=False, status=401, source="gateway"),
    )
    provider = as_member(tokens, PROVIDER_ORG)
    wanted = [
        ("method", "POST", [30]), ("slower_than_ms", "899", [30]), ("status", "401", [31]), ("status", "5xx", [3]),
        ("status", "2xx", [30, 5, 1]), ("endpoint_id", ENDPOINT, [31, 4, 3, 1, 2]),
        ("version_id", VERSION, [31, 30, 5, 4, 3, 1, 2]), ("key_id", KEY, [30, 5, 4, 3, 1, 2]),
    ]  # fmt: skip
    for name, value, numbers in wanted:
        for more in ({}, {"subscription_id": SUBSCRIPTION}):
            page = await get(client, "requests", provider, **{name: value}, **more)
            expected = [request_id(n) for n in numbers if not more or n != 31]
            assert [item["request_id"] for item in page["items"]] == expected, (name, value, more)


@pytest.mark.usefixtures("recorded")
async def test_requests_are_paged_newest_first_and_filtered(client: AsyncClient, tokens: TokenMaker) -> None:
    consumer = as_member(tokens, CONSUMER_ORG)
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = await get(client, "requests", consumer, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [item["request_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == [request_id(n) for n in (5, 4, 3, 1, 2)]
    refused = (await get(client, "requests", consumer, status="429"))["items"]
    assert [(i["request_id"], i["source"], i["billable"], i["path"]) for i in refused] == [
        (request_id(4), "gateway", False, "/acme/pay/v1/things/7")
    ]
    assert (
        len((await get(client, "requests", consumer, status="4xx", subscription_id=SUBSCRIPTION))["items"])
        == 2
    )
    for cursor in ("nonsense", "WzEsMl0", encode_cursor("0001-01-01T00:00:00+14:00", "x")):
        answer = await client.get("/v1/usage/requests", headers=consumer, params={"cursor": cursor})
        assert answer.status_code == 422
