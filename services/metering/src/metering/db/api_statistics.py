"""Rows of `api_statistics`: what was last measured of each API, and when it is to be measured again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.totals import USAGE_COLUMNS, USAGE_SUMS, rows_of, to_usage
from metering.domain.statistics import UNREACHABLE, Figures, figures_of, last_days

_NOTE = text("""
    INSERT INTO api_statistics AS s (api_id, changed_since, changed_at)
    SELECT DISTINCT a, CAST(:now AS timestamptz), CAST(:now AS timestamptz) FROM unnest(CAST(:apis AS uuid[])) AS a
    ORDER BY a ON CONFLICT (api_id) DO UPDATE SET
        changed_since = coalesce(s.changed_since, excluded.changed_since), changed_at = excluded.changed_at""")
_CLAIM = text("""
    SELECT * FROM api_statistics WHERE changed_since <= :changed_before OR renew_at <= :now
    ORDER BY api_id LIMIT :limit FOR UPDATE SKIP LOCKED""")
_LIVE = ("api_id = ANY(:apis)", "subscription_id IS NOT NULL", "NOT is_test")
_MEASURE = """
    WITH used AS (
        SELECT api_id, count(DISTINCT subscription_id) AS subscribers, {sums} FROM ({rows}) AS r GROUP BY api_id),
    failed AS (
        SELECT api_id,
            sum(calls) FILTER (WHERE source <> 'upstream' AND status <> ALL(:unreachable)) AS refused,
            sum(calls) FILTER (WHERE status >= 500 AND (source = 'upstream' OR status = ANY(:unreachable))) AS failed
        FROM usage_errors_daily_now WHERE day >= :start_0 AND day < :end_0 AND {live} GROUP BY api_id)
    SELECT api_id, subscribers, coalesce(refused, 0)::bigint, coalesce(failed, 0)::bigint, {columns}
    FROM used LEFT JOIN failed USING (api_id)"""
_PUT = text("""
    UPDATE api_statistics SET calls = :calls, subscribers = :subscribers, latency_ms_p50 = :latency_ms_p50,
        latency_ms_p95 = :latency_ms_p95, uptime_percent = :uptime_percent, measured_at = :measured_at,
        version = :version, published_version = :version, renew_at = :renew_at,
        changed_since = CASE WHEN changed_at > :changed_before THEN CAST(:now AS timestamptz) END
    WHERE api_id = :api_id""")
_UNPUBLISH = text("UPDATE api_statistics SET published_version = 0, renew_at = :now WHERE version > 0")


@dataclass(frozen=True, slots=True)
class Measured:
    """An API's figures as they were at `measured_at`, None while it was never measured."""

    api_id: UUID
    figures: Figures
    measured_at: datetime | None
    version: int
    published_version: int


async def note_changed(session: AsyncSession, apis: Collection[UUID], *, now: datetime) -> None:
    """The APIs are to be measured: something of them changed."""
    if apis:
        await session.execute(_NOTE, {"apis": sorted(set(apis)), "now": now})


async def claim_due(
    session: AsyncSession, *, changed_before: datetime, now: datetime, limit: int
) -> list[Measured]:
    """At most `limit` APIs, locked, that changed before then and were not measured since, or whose day is over."""
    values = {"changed_before": changed_before, "now": now, "limit": limit}
    return [
        Measured(
            r.api_id,
            Figures(r.calls, r.subscribers, r.latency_ms_p50, r.latency_ms_p95, r.uptime_percent),
            r.measured_at,
            r.version,
            r.published_version,
        )
        for r in await session.execute(_CLAIM, values)
    ]


async def measure(session: AsyncSession, apis: Sequence[UUID], *, now: datetime) -> dict[UUID, Figures]:
    """The figures of those of `apis` that had calls in the last 30 days, in one snapshot."""
    rows, parameters = rows_of(
        [last_days(now)], columns=("api_id", "subscription_id"), conditions=_LIVE, latencies=True
    )
    query = text(
        _MEASURE.format(
            sums=USAGE_SUMS, columns=", ".join(USAGE_COLUMNS), rows=rows, live=" AND ".join(_LIVE)
        )
    )
    bound = parameters | {"apis": list(apis), "unreachable": list(UNREACHABLE)}
    measured = {}
    for api_id, subscribers, refused, failed, *sums in await session.execute(query, bound):
        usage = to_usage(sums)
        measured[api_id] = figures_of(
            calls=usage.totals.calls, refused=refused, failed=failed, subscribers=subscribers,
            latencies=usage.latencies,
        )  # fmt: skip
    return measured


async def put(
    session: AsyncSession, measured: Measured, *, changed_before: datetime, renew_at: datetime | None, now: datetime
) -> None:  # fmt: skip
    """The API, which is locked, was measured so, and this is published if the transaction commits.

    What changed after `changed_before` may not be in the figures yet: the API then counts as changed from `now` on.
    """
    values = asdict(measured.figures) | {"api_id": measured.api_id, "measured_at": measured.measured_at}
    times = {"changed_before": changed_before, "renew_at": renew_at, "now": now}
    await session.execute(_PUT, values | times | {"version": measured.version})


async def make_all_due(session: AsyncSession, *, now: datetime) -> int:
    """Every API that was published is measured and published again; how many there are."""
    return int((await session.execute(_UNPUBLISH, {"now": now})).rowcount)  # type: ignore[attr-defined]


def next_renewal(figures: Figures, *, now: datetime) -> datetime | None:
    """When figures change without a call: at the end of the day, while there is a call that could grow too old."""
    return last_days(now).end + timedelta(seconds=1) if figures.calls else None
