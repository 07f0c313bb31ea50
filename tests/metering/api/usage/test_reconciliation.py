from __future__ import annotations

import pytest
from httpx import AsyncClient

from common.db import Database
from metering.usecases.reconcile_nightly import reconcile_nightly
from tests.metering.api.usage.asking import as_member
from tests.metering.factories import (
    CONSUMER_ORG,
    OTHER_ORG,
)
from tests.support.clock import FixedClock
from tests.support.tokens import TokenMaker


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
