from __future__ import annotations

from datetime import UTC, datetime

import pytest
from httpx import AsyncClient

from common.db import Database
from metering.api.schemas import TimeseriesOut
from tests.metering.api.usage.asking import as_member, get
from tests.metering.factories import (
    CONSUMER_ORG,
    KEY,
    an_entry,
)
from tests.metering.recording import Recorder
from tests.support.tokens import TokenMaker


@pytest.mark.usefixtures("recorded")
async def test_time_series_fill_the_range_and_add_up(client: AsyncClient, tokens: TokenMaker) -> None:
    consumer = as_member(tokens, CONSUMER_ORG)
    span = {"from": "2026-11-15T10:00:00Z", "to": "2026-11-15T12:00:00Z"}
    sizes = {"minute": 120, "hour": 2, "day": 1, "month": 1}
    for granularity, size in sizes.items():
        series = await get(client, "timeseries", consumer, granularity=granularity, **span)
        assert len(series["items"]) == size
        assert sum(item["calls"] for item in series["items"]) == 5
        assert sum(item["rejected"]["rate_limited"] for item in series["items"]) == 1
        assert TimeseriesOut.model_validate(series).model_dump(mode="json") == series
    assert series["items"][0]["start"] == "2026-11-01T00:00:00Z"
    too_long = {"granularity": "minute", "from": "2026-11-01T00:00:00Z"}
    answer = await client.get("/v1/usage/timeseries", headers=consumer, params=too_long)
    assert (answer.status_code, answer.json()["code"]) == (422, "RANGE_INVALID")


async def test_days_and_months_are_those_of_the_time_zone_asked_for(
    client: AsyncClient, tokens: TokenMaker, worker_db: Database
) -> None:
    recorder = await Recorder(worker_db).begin()
    at = [datetime(2026, 10, 24, 22, 30, tzinfo=UTC), datetime(2026, 10, 25, 22, 30, tzinfo=UTC),
          datetime(2026, 10, 25, 23, 0, tzinfo=UTC), datetime(2026, 10, 31, 23, 30, tzinfo=UTC)]  # fmt: skip
    await recorder.record(*(an_entry(n, at=moment) for n, moment in enumerate(at)))
    consumer = as_member(tokens, CONSUMER_ORG)
    span = {"from": "2026-10-24T22:00:00Z", "to": "2026-10-26T23:00:00Z", "tz": "Europe/Berlin"}
    for more in ({}, {"key_id": KEY}):  # from the hours of subscriptions, and from those of keys
        items = (await get(client, "timeseries", consumer, granularity="day", **span, **more))["items"]
        assert [(i["start"], i["calls"]) for i in items] == [
            ("2026-10-24T22:00:00Z", 2),  # the day of 25 hours
            ("2026-10-25T23:00:00Z", 1),
        ]
    span = {"from": "2026-10-01T00:00:00Z", "tz": "Europe/Berlin"}
    items = (await get(client, "timeseries", consumer, granularity="month", **span))["items"]
    assert [(i["start"], i["calls"]) for i in items] == [
        ("2026-09-30T22:00:00Z", 3),
        ("2026-10-31T23:00:00Z", 1),
    ]
    assert (await get(client, "summary", consumer, tz="Europe/Berlin"))[
        "calls"
    ] == 1  # this month began there
    for unknown in ("Europe/Atlantis", "../etc/passwd", "Europe", "/etc/localtime", ""):
        answer = await client.get("/v1/usage/summary", headers=consumer, params={"tz": unknown})
        assert (answer.status_code, answer.json()["code"]) == (422, "RANGE_INVALID"), unknown
