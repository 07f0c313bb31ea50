from __future__ import annotations

import pytest
from httpx import AsyncClient
from sqlalchemy import text

from common.db import Database
from tests.metering.api.usage.asking import as_member, get
from tests.metering.factories import (
    API,
    CONSUMER_ORG,
    KEY,
    SUBSCRIPTION,
    an_entry,
)
from tests.metering.recording import Recorder, minutes_ago
from tests.support.tokens import TokenMaker


@pytest.mark.usefixtures("recorded")
async def test_the_summary_is_exact_to_the_millisecond(client: AsyncClient, tokens: TokenMaker) -> None:
    consumer = as_member(tokens, CONSUMER_ORG)
    whole = await get(client, "summary", consumer)
    assert (whole["calls"], whole["billable_calls"], whole["units"]) == (5, 3, 7)
    assert (whole["errors_4xx"], whole["errors_5xx"]) == (1, 1)
    assert whole["rejected"] == {"rate_limited": 1, "forbidden": 0, "unauthorized": 0}
    assert whole["as_of"] == "2026-11-15T12:00:00Z"
    span = {"from": minutes_ago(95).isoformat(), "to": minutes_ago(30).isoformat()}
    assert (await get(client, "summary", consumer, **span))["calls"] == 1  # the end is exclusive
    span["to"] = "2026-11-15T11:30:00.001Z"
    assert (await get(client, "summary", consumer, **span))["calls"] == 5
    assert (await get(client, "summary", consumer, subscription_id=SUBSCRIPTION, mode="test"))["calls"] == 1
    assert (await get(client, "summary", consumer, key_id=KEY, api_id=API, period="24h"))["calls"] == 5


@pytest.mark.usefixtures("recorded")
async def test_where_raw_rows_were_dropped_whole_hours_answer(
    client: AsyncClient, tokens: TokenMaker, worker_db: Database
) -> None:
    consumer = as_member(tokens, CONSUMER_ORG)
    span = {"from": minutes_ago(34).isoformat(), "to": minutes_ago(26).isoformat()}
    exact = await get(client, "summary", consumer, **span)
    async with worker_db.begin() as session:  # as after the drop of the month
        await session.execute(text("DELETE FROM api_requests_log"))
        await session.execute(text("UPDATE request_log_reach SET rows_from = '2026-12-01Z'"))
    assert (await get(client, "summary", consumer, **span))["calls"] == exact["calls"] == 4
    by_endpoint = await get(client, "endpoints", consumer, **span)
    assert sum(item["calls"] for item in by_endpoint["items"]) == 4
    assert (await get(client, "requests", consumer))["items"] == []
    answer = await client.get(
        "/v1/usage/timeseries", headers=consumer, params={**span, "granularity": "minute"}
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "granularity")
    assert "2026-12-01" in answer.json()["errors"][0]["message"]


async def test_percentiles_of_a_range_come_from_hours_days_and_ragged_ends(
    client: AsyncClient, tokens: TokenMaker, worker_db: Database
) -> None:
    recorder = await Recorder(worker_db).begin()
    latencies = [10, 20, 30, 40, 2_000]
    await recorder.record(
        *(
            an_entry(n, at=minutes_ago(n * 1_000), latencies={"request": ms, "proxy": 3, "kong": 6})
            for n, ms in enumerate(latencies)
        )
    )
    consumer = as_member(tokens, CONSUMER_ORG)
    spans: list[dict[str, str]] = [{}, {"from": "2026-11-12T17:20:00Z", "to": "2026-11-15T12:00:00.001Z"}]
    for span in spans:  # the second has raw ends, hours and days in it
        summary = await get(client, "summary", consumer, **span)
        assert [summary[f"latency_ms_p{p}"] for p in (50, 95, 99)] == [30, 2_068, 2_068]
    [busy] = [
        day
        for day in (await get(client, "timeseries", consumer))["items"]
        if day["start"].startswith("2026-11-14")
    ]
    assert (busy["calls"], busy["latency_ms_p50"], busy["latency_ms_p95"]) == (2, 20, 30)
    span = {"from": "2026-11-15T12:00:00Z", "to": "2026-11-15T12:01:00Z"}
    [minute] = (await get(client, "timeseries", consumer, granularity="minute", **span))["items"]
    assert minute["latency_ms_p99"] == 10
    empty = await get(client, "summary", consumer, mode="test")
    assert (empty["latency_ms_p50"], empty["latency_ms_mean"]) == (None, 0)


@pytest.mark.usefixtures("recorded")
async def test_a_range_is_compared_with_the_one_before(
    client: AsyncClient, tokens: TokenMaker, worker_db: Database
) -> None:
    recorder = await Recorder(worker_db).begin()
    await recorder.record(*(an_entry(20 + n, at=minutes_ago(1_500)) for n in range(10)))
    summary = await get(client, "summary", as_member(tokens, CONSUMER_ORG), period="24h", compare=True)
    assert (summary["calls"], summary["previous"]["calls"]) == (5, 10)
    assert summary["previous"]["start"] == "2026-11-13T12:00:00Z"
    assert summary["previous"]["changes"]["calls"] == -0.5
    assert summary["previous"]["changes"]["errors_5xx"] is None
    assert (await get(client, "summary", as_member(tokens, CONSUMER_ORG)))["previous"] is None


@pytest.mark.usefixtures("recorded")
async def test_every_call_is_of_one_status_class(client: AsyncClient, tokens: TokenMaker) -> None:
    items = (await get(client, "status-classes", as_member(tokens, CONSUMER_ORG)))["items"]
    assert {i["status_class"]: (i["calls"], i["share"]) for i in items} == {
        "succeeded": (2, 0.4), "errors_4xx": (1, 0.2), "errors_5xx": (1, 0.2), "rejected_rate_limited": (1, 0.2),
        "rejected_forbidden": (0, 0), "rejected_unauthorized": (0, 0),
    }  # fmt: skip


@pytest.mark.parametrize(
    "params",
    [
        {"period": "7d", "from": "2026-11-01T00:00:00Z"},
        {"from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"},
        {"from": "2020-01-01T00:00:00Z"}, {"from": "2026-11-01"}, {"period": "year"}, {"mode": "both"},
    ],
)  # fmt: skip
async def test_a_range_that_cannot_be_is_refused(
    client: AsyncClient, tokens: TokenMaker, params: dict[str, str]
) -> None:
    answer = await client.get("/v1/usage/summary", headers=as_member(tokens, CONSUMER_ORG), params=params)
    assert answer.status_code == 422


async def test_an_empty_marketplace_has_answers(client: AsyncClient, tokens: TokenMaker) -> None:
    summary = await get(client, "summary", as_member(tokens, CONSUMER_ORG))
    assert (summary["calls"], summary["as_of"]) == (0, None)


async def test_latencies_are_of_calls_that_were_not_refused(
    client: AsyncClient, tokens: TokenMaker, worker_db: Database
) -> None:
    recorder, consumer = await Recorder(worker_db).begin(), as_member(tokens, CONSUMER_ORG)
    fast, slow = ({"request": ms, "proxy": -1, "kong": ms} for ms in (2, 39))
    refused = [an_entry(n, status=429, source="kong", latencies=fast) for n in range(8)]
    await recorder.record(*refused)
    summary = await get(client, "summary", consumer)
    assert (summary["calls"], summary["latency_ms_mean"], summary["latency_ms_p50"]) == (8, 0, None)
    await recorder.record(an_entry(8, latencies=slow), an_entry(9, latencies=slow))
    summary = await get(client, "summary", consumer)
    assert (summary["calls"], summary["latency_ms_mean"], summary["latency_ms_p50"]) == (10, 39, 39)
