"""What providers ask is answered from sums over all consumers; it is what the single calls are, folded or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient

from common.db import Database
from metering.worker import fold_pending
from tests.metering.api.usage.asking import OTHER_API, OTHER_SUBSCRIPTION, as_member, get
from tests.metering.factories import API, KEY, OTHER_ORG, PROVIDER_ORG, an_entry
from tests.metering.recording import Recorder, count, folded, minutes_ago, one
from tests.metering.usecases.test_record_calls import assert_reconciled
from tests.support.tokens import TokenMaker

STRANGER = "01930000-0000-7000-8000-0000000000f9"


@pytest.fixture
async def recorder(worker_db: Database) -> AsyncIterator[Recorder]:
    """The provider's API has three calls of a consumer and one of its own, which also calls another's API twice."""
    recorder = await Recorder(worker_db).begin()
    await recorder.record(
        an_entry(1, at=minutes_ago(60 * 50)), an_entry(2, at=minutes_ago(60 * 30)), an_entry(3),
        an_entry(4, subscription=OTHER_SUBSCRIPTION, org=PROVIDER_ORG, at=minutes_ago(60 * 30)),
        *(an_entry(n, subscription=OTHER_SUBSCRIPTION, org=PROVIDER_ORG, provider=STRANGER, api=OTHER_API,
                   at=minutes_ago(60 * n)) for n in (5, 30)),
    )  # fmt: skip
    yield recorder
    await assert_reconciled(worker_db)


async def answers(client: AsyncClient, headers: dict[str, str], **params: str) -> dict[str, Any]:
    """The calls that each question finds, of ranges with days, hours and raw rows in them."""
    span = {"from": minutes_ago(60 * 52).isoformat(), **params}
    found = {"summary": (await get(client, "summary", headers, **span))["calls"]}
    for granularity, zone in (("hour", "UTC"), ("day", "UTC"), ("day", "Europe/Berlin"), ("month", "UTC")):
        asked = {**span, "granularity": granularity, "tz": zone}
        items = (await get(client, "timeseries", headers, **asked))["items"]
        found[f"{granularity} {zone}"] = [item["calls"] for item in items if item["calls"]]
    for by in ("api", "endpoint", "version", "provider", "consumer", "subscription", "key"):
        items = (await get(client, "breakdown", headers, by=by, **span))["items"]
        found[by] = sorted(item["calls"] for item in items)
    return found


async def test_an_organisation_on_both_sides_of_a_call_finds_it_once(
    recorder: Recorder, client: AsyncClient, tokens: TokenMaker, worker_db: Database
) -> None:
    provider = as_member(tokens, PROVIDER_ORG)
    steps = (None, fold_pending, folded)
    for step in steps:  # pending, in open hours, and settled
        if step:
            await step(worker_db)
        both = await answers(client, provider)
        assert (both["summary"], both["api"], both["provider"]) == (6, [2, 4], [2, 4])
        assert (both["consumer"], both["subscription"]) == ([3, 3], [1, 2, 3])
        assert both["hour UTC"] == [1, 3, 1, 1]
        assert both["day UTC"] == both["day Europe/Berlin"] == [1, 3, 2]
        assert (await answers(client, provider, side="provider"))["hour UTC"] == [1, 2, 1]
        assert (await answers(client, provider, side="provider", api_id=API))["summary"] == 4
        assert (await answers(client, provider, side="consumer"))["summary"] == 3
        assert (await answers(client, provider, key_id=KEY))["summary"] == 6
        assert (await answers(client, provider, subscription_id=OTHER_SUBSCRIPTION))["summary"] == 3
        admin = as_member(tokens, PROVIDER_ORG, platform_admin=True)
        assert (await answers(client, admin))["summary"] == 6
    span = {"from": minutes_ago(60 * 50).isoformat(), "to": minutes_ago(60 * 30).isoformat()}
    assert (await get(client, "summary", provider, **span))["calls"] == 1
    assert recorder.unseen


@pytest.mark.usefixtures("recorder")
async def test_rows_that_somebody_else_changes_are_followed(worker_db: Database) -> None:
    """As a worker of the version before settles: it knows only of the tables that these are summed from."""
    await folded(worker_db)
    before = await one(worker_db, "SELECT sum(latency_histogram) FROM usage_subscription_hourly")
    for table, of in (
        ("usage_api_hourly", "usage_subscription_hourly"),
        ("usage_endpoint_daily", "usage_records_daily"),
    ):
        assert await count(worker_db, table, "sum(calls)") == 6
        for sign in "+-":
            await one(
                worker_db, f"UPDATE {of} SET calls = calls {sign} 10 WHERE api_id = :a RETURNING 1", a=API
            )
            grown = await count(worker_db, table, f"sum(calls) FILTER (WHERE api_id = '{API}')")
            assert grown > 4 if sign == "+" else grown == 4
        for org in (
            OTHER_ORG,
            PROVIDER_ORG,
        ):  # an API that changes hands takes its calls along only where that is said
            await one(
                worker_db, f"UPDATE {of} SET provider_org = :o WHERE api_id = :a RETURNING 1", o=org, a=API
            )
            mine = await one(worker_db, f"SELECT sum(calls) FROM {table} WHERE provider_org = :o", o=org)
            assert mine[0] == 4
    assert await one(worker_db, "SELECT sum(latency_histogram) FROM usage_api_hourly") == before


async def test_late_calls_of_a_settled_hour_are_added_to_it(recorder: Recorder, worker_db: Database) -> None:
    await folded(worker_db)
    rows = await count(worker_db, "usage_api_hourly")
    await recorder.record(an_entry(40, at=minutes_ago(60 * 30)), an_entry(41, at=minutes_ago(60 * 30)))
    await folded(worker_db)
    assert await count(worker_db, "usage_api_hourly") == rows
    assert await count(worker_db, "usage_api_hourly", "sum(calls)") == 8
    assert await count(worker_db, "usage_endpoint_daily", "sum(calls)") == 8
