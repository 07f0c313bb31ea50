from __future__ import annotations

from uuid import UUID

import pytest
from httpx import AsyncClient
from sqlalchemy import text

from common.db import Database, Scope
from metering.worker import fold_pending
from tests.metering.api.usage.asking import OTHER_PROVIDER, as_member, get
from tests.metering.factories import (
    API,
    CONSUMER_ORG,
    OTHER_ORG,
    PROVIDER_ORG,
    SUBSCRIPTION,
)
from tests.metering.recording import folded
from tests.support.tokens import TokenMaker

READS = [
    "summary", "timeseries", "endpoints", "requests", "quota", "breakdown?by=consumer", "status-classes", "errors",
]  # fmt: skip


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
    await see_their_own(db, "api_requests_log", "quota_usage", "usage_pending", "usage_unsettled", *views)
    await fold_pending(worker_db)
    await see_their_own(
        db, "usage_open_hours", "usage_unsettled", "usage_records_hourly", "subscription_day", *views
    )
    await folded(worker_db)
    await see_their_own(db, "usage_records_hourly", "usage_records_daily", *views)
    async with db.begin(Scope(organisation_id=UUID(OTHER_ORG))) as session:
        assert await session.scalar(text("SELECT count(*) FROM subscription")) == 0
    for table in ("quota_state", "period_part", "month_adjustment"):  # for operators only
        async with db.begin(Scope(organisation_id=UUID(CONSUMER_ORG))) as session:
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0


@pytest.mark.usefixtures("recorded")
async def test_what_is_summed_of_all_consumers_is_only_their_providers(
    db: Database, worker_db: Database
) -> None:
    await folded(worker_db)
    for organisation, visible in ((None, 0), (CONSUMER_ORG, 0), (OTHER_ORG, 0), (OTHER_PROVIDER, 1)):
        scope = Scope(organisation_id=UUID(organisation) if organisation else None)
        async with db.begin(scope) as session:
            for table in ("usage_api_hourly", "usage_endpoint_daily"):
                rows = await session.scalar(text(f"SELECT count(*) FROM {table}"))
                assert (organisation, table, rows) == (organisation, table, visible)


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
