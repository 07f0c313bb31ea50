"""Cut-offs asked for, the answers given, the months closed for good, and what arrived for them afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.totals import SUMS, rows_of
from metering.domain.rollup import SubscriptionDay, SubscriptionDayKey
from metering.domain.windows import split

_ASK = text("""
    INSERT INTO cutoff (cutoff_id, organisation_id, until, requested_at)
    VALUES (:cutoff_id, :organisation_id, :until, :requested_at) ON CONFLICT DO NOTHING""")
_WAITING = text("""
    SELECT cutoff_id, organisation_id, until, requested_at, files_read_at FROM cutoff WHERE answered_at IS NULL
    ORDER BY until, cutoff_id LIMIT 100 FOR UPDATE SKIP LOCKED""")
_EARLIEST = text("SELECT min(until) AS until FROM cutoff WHERE answered_at IS NULL")
_FILES_READ = text("UPDATE cutoff SET files_read_at = :now WHERE cutoff_id = :cutoff_id")
_ANSWERED = text("UPDATE cutoff SET answered_at = :now WHERE cutoff_id = :cutoff_id")
_KEEP_PART = text("""
    INSERT INTO period_part (cutoff_id, part, answer) VALUES (:cutoff_id, :part, CAST(:answer AS jsonb))""")
_PARTS = text("""
    SELECT answer FROM period_part
    WHERE (CAST(:cutoff_id AS uuid) IS NULL OR cutoff_id = :cutoff_id) ORDER BY cutoff_id, part""")
_CLOSE = text("""
    INSERT INTO closed_month (month, organisation_id, closed_at) VALUES (:month, :organisation_id, :now)
    ON CONFLICT DO NOTHING""")
_CLOSED = text("SELECT month, organisation_id FROM closed_month WHERE month = ANY(:months)")
_ADJUST = text("""
    INSERT INTO month_adjustment (subscription_id, plan_version_id, month, version)
    SELECT *, 0 FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:plans AS uuid[]), CAST(:months AS date[]))
    ON CONFLICT DO NOTHING""")
_DUE = text("""
    SELECT subscription_id, plan_version_id, month, version FROM month_adjustment WHERE version > published_version
    ORDER BY month, subscription_id, plan_version_id LIMIT :limit FOR UPDATE SKIP LOCKED""")
_ADJUSTED = text("""
    UPDATE month_adjustment SET published_version = :version
    WHERE subscription_id = :subscription_id AND plan_version_id = :plan_version_id AND month = :month""")
_MONTH_TOTAL = text("""
    SELECT min(consumer_org::text)::uuid AS consumer_org, min(provider_org::text)::uuid AS provider_org,
        min(api_id::text)::uuid AS api_id, sum(calls)::bigint AS calls, sum(billable_calls)::bigint AS billable_calls,
        sum(units)::bigint AS units
    FROM subscription_day WHERE subscription_id = :subscription_id AND plan_version_id = :plan_version_id
        AND day >= :month AND day < :month + interval '1 month'""")
_UNPUBLISH = text("UPDATE month_adjustment SET published_version = 0")


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Somebody wants the exact totals up to `until`, of one organisation or (None) of all.

    `files_read_at` is when the gateways' log files were known to be read past it; None while they are not.
    """

    cutoff_id: UUID
    organisation_id: UUID | None
    until: datetime
    requested_at: datetime
    files_read_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PeriodTotal:
    """What one subscription used under one plan version in a period."""

    subscription_id: UUID
    plan_version_id: UUID
    consumer_org: UUID
    api_id: UUID
    calls: int
    billable_calls: int
    units: int


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A closed month's new absolute totals, after calls that arrived late."""

    subscription_id: UUID
    plan_version_id: UUID
    month: date
    version: int
    consumer_org: UUID
    provider_org: UUID
    api_id: UUID
    calls: int
    billable_calls: int
    units: int


async def ask(session: AsyncSession, cutoff: Cutoff) -> None:
    """The cut-off waits for its answer; asked again, nothing changes."""
    await session.execute(
        _ASK,
        {
            "cutoff_id": cutoff.cutoff_id, "organisation_id": cutoff.organisation_id, "until": cutoff.until,
            "requested_at": cutoff.requested_at,
        },
    )  # fmt: skip


async def claim_waiting(session: AsyncSession) -> list[Cutoff]:
    """The cut-offs without an answer, locked, earliest first."""
    return [Cutoff(*row) for row in await session.execute(_WAITING)]


async def earliest_waiting(session: AsyncSession) -> datetime | None:
    """The earliest instant at which a cut-off without an answer cuts."""
    earliest: datetime | None = await session.scalar(_EARLIEST)
    return earliest


async def totals(
    session: AsyncSession, *, start: datetime, end: datetime, organisation_id: UUID | None
) -> list[PeriodTotal]:
    """Exact totals of live calls begun in [start, end): whole days and hours from rollups, the rest from raw rows."""
    conditions = ["subscription_id IS NOT NULL", "plan_version_id IS NOT NULL", "NOT is_test"]
    if organisation_id is not None:
        conditions.append("consumer_org = :organisation_id")
    columns = ("subscription_id", "plan_version_id", "consumer_org", "api_id")
    rows, parameters = rows_of(split(start, end), columns=columns, conditions=conditions)
    group = ", ".join(columns)
    query = text(f"SELECT {group}, {SUMS} FROM ({rows}) AS r GROUP BY {group} ORDER BY {group}")
    found = await session.execute(
        query, parameters | {"organisation_id": organisation_id} if organisation_id else parameters
    )
    return [
        PeriodTotal(
            r.subscription_id, r.plan_version_id, r.consumer_org, r.api_id, r.calls, r.billable_calls, r.units
        )
        for r in found
    ]


async def note_files_read(session: AsyncSession, cutoff_id: UUID, *, now: datetime) -> None:
    """All that the gateways' log files held up to the cut-off is in Kafka; what is read past `now` has it."""
    await session.execute(_FILES_READ, {"cutoff_id": cutoff_id, "now": now})


async def answer(
    session: AsyncSession, cutoff_id: UUID, answers: Sequence[dict[str, Any]], *, now: datetime
) -> None:
    """The cut-off is answered, for good, by these parts."""
    for part, body in enumerate(answers, start=1):
        await session.execute(_KEEP_PART, {"cutoff_id": cutoff_id, "part": part, "answer": json.dumps(body)})
    await session.execute(_ANSWERED, {"cutoff_id": cutoff_id, "now": now})


async def answers(session: AsyncSession, cutoff_id: UUID | None = None) -> list[dict[str, Any]]:
    """The parts of the answer to one cut-off, or of all answers."""
    return [row.answer for row in await session.execute(_PARTS, {"cutoff_id": cutoff_id})]


async def close_month(
    session: AsyncSession, month: date, *, organisation_id: UUID | None, now: datetime
) -> None:
    """What arrives for `month` from now on is an adjustment."""
    await session.execute(_CLOSE, {"month": month, "organisation_id": organisation_id, "now": now})


async def note_late(session: AsyncSession, days: Iterable[tuple[SubscriptionDayKey, SubscriptionDay]]) -> int:
    """Those of `days` that fall into a closed month become adjustments; how many subscriptions' months.

    They are due for publication when the fold has added the days, each time that it adds to the month.
    """
    touched = {(k.subscription_id, k.plan_version_id, k.day.replace(day=1), d.consumer_org) for k, d in days}
    if not touched:
        return 0
    rows = await session.execute(_CLOSED, {"months": sorted({month for _, _, month, _ in touched})})
    closed = {(row.month, str(row.organisation_id) if row.organisation_id else None) for row in rows}
    late = sorted(
        (subscription, plan, month)
        for subscription, plan, month, org in touched
        if (month, None) in closed or (month, org) in closed
    )
    if late:
        await session.execute(
            _ADJUST,
            {
                "subscriptions": [s for s, _, _ in late],
                "plans": [p for _, p, _ in late],
                "months": [m for _, _, m in late],
            },
        )
    return len(late)


async def claim_adjustments(session: AsyncSession, *, limit: int) -> list[Adjustment]:
    """At most `limit` closed months that changed, locked, and marked as published if this transaction commits."""
    due = (await session.execute(_DUE, {"limit": limit})).mappings().all()
    result = []
    for row in due:
        total = (await session.execute(_MONTH_TOTAL, dict(row))).mappings().one()
        result.append(Adjustment(**row, **total))
        await session.execute(_ADJUSTED, dict(row))
    return result


async def make_adjustments_due(session: AsyncSession) -> int:
    """Every adjustment is due for publication, at the version that it has; how many there are."""
    return int((await session.execute(_UNPUBLISH)).rowcount)  # type: ignore[attr-defined]
