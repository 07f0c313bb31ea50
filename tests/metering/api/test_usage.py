from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy import text

from common.db import Database, Scope
from common.pagination import encode_cursor
from metering.api.schemas import TimeseriesOut
from metering.consumers.version import VersionEvent, on_version
from metering.main import create_app
from metering.settings import Settings
from metering.usecases.reconcile_nightly import reconcile_nightly
from metering.worker import fold_pending
from tests.metering.factories import (
    API,
    CONSUMER_ORG,
    ENDPOINT,
    KEY,
    OTHER_ORG,
    PROVIDER_ORG,
    SUBSCRIPTION,
    VERSION,
    an_entry,
    request_id,
)
from tests.metering.recording import NOW, Recorder, folded, minutes_ago
from tests.metering.usecases.test_quotas import subscribe
from tests.support.clock import FixedClock
from tests.support.tokens import TokenMaker

OTHER_SUBSCRIPTION = "01930000-0000-7000-8000-0000000000f3"
OTHER_PROVIDER = "01930000-0000-7000-8000-0000000000f1"
OTHER_API = "01930000-0000-7000-8000-0000000000f2"
READS = [
    "summary", "timeseries", "endpoints", "requests", "quota", "breakdown?by=consumer", "status-classes", "errors",
]  # fmt: skip


@pytest.fixture
async def app(make_settings: Callable[..., Settings], clock: FixedClock, tokens: TokenMaker) -> FastAPI:
    """Without Kafka: reading usage needs none."""
    application = create_app(make_settings(KAFKA_TOPIC_PREFIX=""), clock=clock)
    application.state.verifier = tokens.verifier
    return application


@pytest.fixture
async def recorded(worker_db: Database) -> None:
    """Five calls of ours and one of others, who share neither consumer nor provider with us."""
    endpoints = [{"endpoint_id": ENDPOINT, "method": "get", "path": "/things/{id}", "weight": 3}]
    event = VersionEvent.model_validate(
        {"version_id": VERSION, "version": 1, "api_id": API, "name": "v1", "endpoints": endpoints}
    )
    async with worker_db.begin() as session:
        await on_version(session, event, now=NOW)
    await subscribe(worker_db, quota=10)
    recorder = await Recorder(worker_db).begin()
    await recorder.record(an_entry(1), an_entry(2, at=minutes_ago(95), status=404))
    await folded(worker_db)
    await recorder.record(an_entry(3, status=503, source="kong"))
    await fold_pending(worker_db)  # what follows is pending: every answer is made of all three
    await recorder.record(
        an_entry(4, status=429, source="kong"), an_entry(5, path="/acme/pay/v1/elsewhere"), an_entry(6, mode="test"),
    )  # fmt: skip
    await recorder.record(
        an_entry(
            7,
            subscription=OTHER_SUBSCRIPTION,
            org=OTHER_ORG,
            provider=OTHER_PROVIDER,
            api=OTHER_API,
            status=404,
            client_ip="198.51.100.2",
        )
    )
    await recorder.watermark(NOW)


def as_member(tokens: TokenMaker, organisation: str, **more: Any) -> dict[str, str]:
    return tokens.headers(organisation_id=UUID(organisation), **more)


async def get(client: AsyncClient, what: str, headers: dict[str, str], **params: Any) -> Any:
    path, _, query = what.partition("?")
    answer = await client.get(f"/v1/usage/{path}", headers=headers, params=params | dict(parse_qsl(query)))
    assert answer.status_code == 200, answer.text
    return answer.json()


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
async def test_consumer_and_provider_see_their_own_sides(client: AsyncClient, tokens: TokenMaker) -> None:
    provider = as_member(tokens, PROVIDER_ORG)
    assert (await get(client, "summary", provider, api_id=API))["calls"] == 5
    assert (await get(client, "summary", provider, side="provider"))["calls"] == 5
    assert (await get(client, "summary", provider, side="consumer"))["calls"] == 0
    admin = as_member(tokens, PROVIDER_ORG, platform_admin=True)
    assert (await get(client, "summary", admin))["calls"] == 6


@pytest.mark.usefixtures("recorded")
async def test_others_see_nothing_whatever_they_ask_for(client: AsyncClient, tokens: TokenMaker) -> None:
    stranger = as_member(tokens, "01930000-0000-7000-8000-0000000000ff")
    for params in ({}, {"subscription_id": SUBSCRIPTION}, {"api_id": API}):
        for what in READS:
            asked = {k: v for k, v in params.items() if what != "quota" or k == "subscription_id"}
            found = await get(client, what, stranger, **asked)
            assert sum(i.get("calls", 1) for i in found.get("items", [found])) == 0, what


async def see_their_own(db: Database, *tables: str) -> None:
    """The others see their one row of each, as consumer and as provider; nobody sees any."""
    for organisation, visible in ((None, 0), (OTHER_ORG, 1), (OTHER_PROVIDER, 1)):
        scope = Scope(organisation_id=UUID(organisation) if organisation else None)
        for table in tables:
            async with db.begin(scope) as session:
                rows = await session.scalar(text(f"SELECT count(*) FROM {table}"))
            assert (table, rows) == (table, visible)


@pytest.mark.usefixtures("recorded")
async def test_the_database_itself_hides_others_rows_from_queries_without_a_where(
    db: Database, worker_db: Database
) -> None:
    views = (
        "usage_records_hourly_now", "usage_records_daily_now", "usage_subscription_hourly_now",
        "usage_country_daily_now", "usage_errors_daily_now", "subscription_day_now",
    )  # fmt: skip
    await see_their_own(db, "api_requests_log", "quota_usage", "usage_pending", *views)
    await fold_pending(worker_db)
    await see_their_own(db, "usage_open_hours", "usage_records_hourly", "subscription_day", *views)
    await folded(worker_db)
    await see_their_own(db, "usage_records_hourly", "usage_records_daily", *views)
    async with db.begin(Scope(organisation_id=UUID(OTHER_ORG))) as session:
        assert await session.scalar(text("SELECT count(*) FROM subscription")) == 0
    for table in ("quota_state", "period_part", "month_adjustment"):  # for operators only
        async with db.begin(Scope(organisation_id=UUID(CONSUMER_ORG))) as session:
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0


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


@pytest.mark.usefixtures("recorded")
async def test_every_call_is_of_one_status_class(client: AsyncClient, tokens: TokenMaker) -> None:
    items = (await get(client, "status-classes", as_member(tokens, CONSUMER_ORG)))["items"]
    assert {i["status_class"]: (i["calls"], i["share"]) for i in items} == {
        "succeeded": (2, 0.4), "errors_4xx": (1, 0.2), "errors_5xx": (1, 0.2), "rejected_rate_limited": (1, 0.2),
        "rejected_forbidden": (0, 0), "rejected_unauthorized": (0, 0),
    }  # fmt: skip


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


async def test_a_forged_cursor_of_quotas_is_the_caller_s_mistake(
    client: AsyncClient, tokens: TokenMaker
) -> None:
    for cursor in ("nonsense", encode_cursor("x"), encode_cursor(None), encode_cursor(7), encode_cursor()):
        answer = await client.get(
            "/v1/usage/quota", headers=as_member(tokens, CONSUMER_ORG), params={"cursor": cursor}
        )
        assert answer.status_code == 422, cursor


@pytest.mark.usefixtures("recorded")
async def test_the_quota_of_a_running_subscription(client: AsyncClient, tokens: TokenMaker) -> None:
    for organisation in (CONSUMER_ORG, PROVIDER_ORG):
        [quota] = (await get(client, "quota", as_member(tokens, organisation)))["items"]
        assert (quota["limit"], quota["used"], quota["remaining"], quota["state"]) == (10, 7, 3, "ok")
        assert (quota["period"], quota["resets_at"]) == ("2026-11", "2026-12-01T00:00:00Z")


@pytest.mark.usefixtures("recorded")
async def test_reconciliation_is_for_operators_and_finds_nothing(
    client: AsyncClient, tokens: TokenMaker
) -> None:
    member = await client.get("/v1/reconciliation", headers=as_member(tokens, CONSUMER_ORG))
    assert member.status_code == 403
    found = (
        await client.get("/v1/reconciliation", headers=as_member(tokens, OTHER_ORG, platform_admin=True))
    ).json()
    assert (found["ok"], found["differences"]) == (True, [])
    assert found["compared"]["usage_records_hourly"] >= 4
    assert found["compared"]["quota_usage"] == 2


@pytest.mark.usefixtures("recorded")
async def test_what_each_night_found_is_for_operators_page_by_page(
    client: AsyncClient, tokens: TokenMaker, worker_db: Database, clock: FixedClock
) -> None:
    for _ in range(3):
        assert await reconcile_nightly(worker_db, clock, hour=0)
        clock.advance(days=1)
    operator = as_member(tokens, OTHER_ORG, platform_admin=True)
    seen: list[tuple[str, bool]] = []
    cursor: str | None = None
    while not seen or cursor:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/reconciliation/nights", headers=operator, params=params)).json()
        seen += [(night["day"], night["ok"]) for night in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [("2026-11-17", True), ("2026-11-16", True), ("2026-11-15", True)]
    member = await client.get("/v1/reconciliation/nights", headers=as_member(tokens, CONSUMER_ORG))
    assert member.status_code == 403


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


async def test_every_read_needs_a_member_and_every_role_may(client: AsyncClient, tokens: TokenMaker) -> None:
    for what in READS:
        assert (await client.get(f"/v1/usage/{what}")).status_code == 401
        without = await client.get(f"/v1/usage/{what}", headers=tokens.headers(organisation_id=None))
        assert without.status_code == 403
        for role in ("owner", "admin", "developer", "billing", "viewer"):
            await get(client, what, as_member(tokens, CONSUMER_ORG, role=role))
    for path, method in (("/v1/reconciliation", "GET"), ("/v1/admin/republish", "POST")):
        assert (await client.request(method, path)).status_code == 401
        assert (
            await client.request(method, path, headers=as_member(tokens, CONSUMER_ORG))
        ).status_code == 403
    admin = as_member(tokens, CONSUMER_ORG, platform_admin=True)
    assert (await client.post("/v1/admin/republish", headers=admin)).status_code == 202


async def test_an_empty_marketplace_has_answers(client: AsyncClient, tokens: TokenMaker) -> None:
    summary = await get(client, "summary", as_member(tokens, CONSUMER_ORG))
    assert (summary["calls"], summary["as_of"]) == (0, None)
