from __future__ import annotations

import pytest
from httpx import AsyncClient

from common.db import Database
from tests.metering.api.usage.asking import as_member, get
from tests.metering.factories import (
    API,
    CONSUMER_ORG,
    ENDPOINT,
    KEY,
    PROVIDER_ORG,
    SUBSCRIPTION,
    VERSION,
    an_entry,
    request_id,
)
from tests.metering.recording import Recorder, minutes_ago
from tests.support.tokens import TokenMaker


@pytest.mark.usefixtures("recorded")
async def test_endpoints_are_named_by_their_templates(client: AsyncClient, tokens: TokenMaker) -> None:
    items = (await get(client, "endpoints", as_member(tokens, CONSUMER_ORG)))["items"]
    assert [(i["method"], i["path"], i["calls"], i["units"]) for i in items] == [
        ("GET", "/things/{id}", 4, 6),
        (None, None, 1, 1),
    ]


@pytest.mark.usefixtures("recorded")
async def test_usage_is_broken_down_and_the_shares_are_of_all_calls(
    client: AsyncClient, tokens: TokenMaker
) -> None:
    provider = as_member(tokens, PROVIDER_ORG)
    wanted = {
        "api": ("api_id", API, 5), "endpoint": ("endpoint_id", ENDPOINT, 4), "version": ("version_id", VERSION, 5),
        "subscription": ("subscription_id", SUBSCRIPTION, 5), "key": ("key_id", KEY, 5),
        "consumer": ("consumer_org", CONSUMER_ORG, 5), "provider": ("provider_org", PROVIDER_ORG, 5),
    }  # fmt: skip
    for by, (column, value, calls) in wanted.items():
        items = (await get(client, "breakdown", provider, by=by, side="provider"))["items"]
        assert (items[0][column], items[0]["calls"], items[0]["share"]) == (value, calls, calls / 5), by
        assert items[0]["latency_ms_p99"] == 9
    assert (await get(client, "breakdown", provider, by="version"))["items"][0]["name"] == "v1"
    assert (await get(client, "breakdown", provider, by="endpoint"))["items"][0]["path"] == "/things/{id}"
    assert len((await get(client, "breakdown", provider, by="endpoint", limit=1))["items"]) == 1


async def test_countries_are_ranked_where_they_are_known(
    client: AsyncClient, tokens: TokenMaker, worker_db: Database
) -> None:
    recorder = await Recorder(worker_db).begin()
    await recorder.record(
        an_entry(1, client_ip="198.51.100.1"),
        an_entry(2, client_ip="198.51.100.1"),
        an_entry(3, client_ip="198.51.100.2", status=500),
        an_entry(4),
    )
    await recorder.record(an_entry(5, client_ip="198.51.100.1", at=minutes_ago(2_000)))
    consumer = as_member(tokens, CONSUMER_ORG)
    items = (await get(client, "breakdown", consumer, by="country"))["items"]
    assert [(i["country"], i["calls"], i["errors_5xx"], i["share"]) for i in items] == [
        ("DE", 3, 0, 0.6),
        ("FR", 1, 1, 0.2),
    ]
    today = {"from": "2026-11-15T03:00:00Z", "to": "2026-11-15T04:00:00Z"}  # a range means its whole days
    assert (await get(client, "breakdown", consumer, by="country", **today))["items"][0]["calls"] == 2
    params = {"by": "country", "key_id": KEY}
    answer = await client.get("/v1/usage/breakdown", headers=consumer, params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "RANGE_INVALID")


async def test_errors_are_counted_by_endpoint_and_status_with_the_newest_examples(
    client: AsyncClient, tokens: TokenMaker, worker_db: Database
) -> None:
    recorder = await Recorder(worker_db).begin()
    for number in range(7):
        await recorder.record(
            an_entry(number, at=minutes_ago(60 - number), status=404), an_entry(100 + number)
        )
    await recorder.record(an_entry(50, status=503, source="gateway", at=minutes_ago(2_000)))
    consumer = as_member(tokens, CONSUMER_ORG)
    often, once = (await get(client, "errors", consumer))["items"]
    assert (often["status"], often["source"], often["calls"]) == (404, "upstream", 7)
    assert often["examples"] == [request_id(n) for n in (6, 5, 4, 3, 2)]
    assert often["last_at"] == "2026-11-15T11:06:00Z"
    assert (once["status"], once["source"], once["examples"]) == (503, "gateway", [request_id(50)])
    today = {"from": "2026-11-15T00:00:00Z"}
    assert [i["status"] for i in (await get(client, "errors", consumer, **today))["items"]] == [404]
