"""Our copies take only what is newer, and give back what was put."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from common.db import Database, Scope
from common.ids import new_id
from kong_sync.db import copies, progress
from kong_sync.db.progress import Told
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.limits import Limits
from kong_sync.domain.progress import Progress, State
from kong_sync.domain.records import ApiSettings
from tests.kong_sync.factories import (
    NOW,
    SCOPED,
    a_key,
    a_phase,
    a_quota,
    a_subscription,
    a_version,
    an_api,
    some_tables,
)
from tests.kong_sync.market import tell

SETTINGS = ApiSettings(
    read_ms=9, tls_verify=False, max_body_mb=1, blocked_ips=("192.0.2.1",), set_headers=(("x-a", "1"), ("x-b", "2")),
    remove_headers=("x-c",), in_maintenance=True, maintenance_until=NOW,
)  # fmt: skip


async def test_what_was_put_comes_back(worker_db: Database) -> None:
    tables = some_tables(
        apis=[an_api(cors_origins=("https://a.example", "https://b.example"), upstream_epoch=4, settings=SETTINGS)],
        versions=[
            a_version(state="deprecated", deprecated_at=NOW, sunset_at=NOW + timedelta(days=1), endpoints=SCOPED)
        ],
        subscriptions=[
            a_subscription(
                limits_override=Limits(second=1), canceled_at=NOW,
                phases=(
                    a_phase(until=NOW),
                    a_phase(
                        since=NOW, limits=Limits(day=5), units_header="x-rows", units_cap=9, counted_statuses=("2xx",)
                    ),
                ),
            )
        ],
        keys=[a_key(expires_at=NOW + timedelta(days=1), scopes=("a/b", "read"))],
        quotas=[a_quota()],
    )  # fmt: skip
    await tell(worker_db, tables)
    async with worker_db.begin() as session:
        assert await copies.all_tables(session) == tables


async def test_an_older_version_changes_nothing(worker_db: Database) -> None:
    await tell(
        worker_db,
        some_tables(apis=[an_api(version=3, slug="new")], versions=[a_version(version=2, name="v2")]),
    )
    await tell(
        worker_db,
        some_tables(apis=[an_api(version=2, slug="old")], versions=[a_version(version=2, name="vX")]),
    )
    async with worker_db.begin() as session:
        tables = await copies.all_tables(session)
    assert tables.apis[an_api().id].slug == "new"
    assert tables.versions[a_version().id].name == "v2"


@pytest.mark.parametrize(("admin", "seen"), [(False, 0), (True, 1)])
async def test_only_an_operator_reads_the_copies_through_the_api_role(
    worker_db: Database, db: Database, admin: bool, seen: int
) -> None:
    await tell(worker_db, some_tables(quotas=[a_quota()]))
    async with db.begin(Scope(organisation_id=new_id(), platform_admin=admin)) as session:
        for table in ("api_copy", "api_version_copy", "subscription_copy", "api_key_copy", "quota_copy"):
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == seen


async def test_an_organisation_sees_its_own_progress_and_what_is_live(
    worker_db: Database, db: Database
) -> None:
    mine, other = new_id(), new_id()
    when = datetime(2026, 11, 1, tzinfo=UTC)

    def told(organisation: object, state: State, concern: Concern = Concern.API) -> Told:
        return Told(Owner(concern, str(new_id())), 1, str(organisation), Progress(state, None, "f"), when)

    kept = [
        told(mine, State.PENDING), told(other, State.LIVE), told(other, State.FAILED),
        told(other, State.LIVE, Concern.SUBSCRIPTION),
    ]  # fmt: skip
    async with worker_db.begin() as session:
        await progress.put_all(session, kept, now=NOW)
    async with db.begin(Scope(organisation_id=mine)) as session:
        assert [await progress.find(session, one.owner) is not None for one in kept] == [
            True,
            True,
            False,
            False,
        ]
        assert set(await progress.all_told(session)) == {kept[0].owner, kept[1].owner}
    async with db.begin() as session:
        assert set(await progress.all_told(session)) == {kept[1].owner}


async def test_a_progress_is_replaced_whole(worker_db: Database) -> None:
    first = Told(Owner(Concern.API, str(new_id())), 1, str(new_id()), Progress(State.FAILED, "no", "f"), NOW)
    second = replace(first, version=2, progress=Progress(State.LIVE, None, "g", "http://p"))
    for one in (first, second):
        async with worker_db.begin() as session:
            await progress.put_all(session, [one], now=NOW)
    async with worker_db.begin() as session:
        assert await progress.find(session, first.owner) == second
        assert await progress.count_by_state(session) == {"api": {"live": 1}}
