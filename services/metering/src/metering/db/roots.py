"""A Merkle root for each hour of a subscription under a plan version; a later one beside it when calls came late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.domain.merkle import Leaf, leaf_hash, root_of

_HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# Calls are only ever added: fewer in the last root than in the hour means that some came since.
_DUE = text("""
    WITH hours AS (
        SELECT subscription_id, plan_version_id, hour_start, min(consumer_org::text)::uuid AS consumer_org,
            min(provider_org::text)::uuid AS provider_org, sum(calls) AS calls
        FROM usage_records_hourly_now WHERE hour_start >= :start AND hour_start < :end AND NOT is_test
            AND subscription_id IS NOT NULL AND plan_version_id IS NOT NULL
            AND (CAST(:subscription_id AS uuid) IS NULL
                OR (subscription_id, plan_version_id) = (:subscription_id, CAST(:plan_version_id AS uuid)))
        GROUP BY subscription_id, plan_version_id, hour_start)
    SELECT h.subscription_id, h.plan_version_id, h.hour_start, h.consumer_org, h.provider_org,
        coalesce(r.version, 0) AS version
    FROM hours h LEFT JOIN LATERAL (
        SELECT version, calls FROM usage_root u WHERE u.subscription_id = h.subscription_id
            AND u.plan_version_id = h.plan_version_id AND u.hour_start = h.hour_start ORDER BY version DESC LIMIT 1
    ) AS r ON true
    WHERE r.calls IS DISTINCT FROM h.calls ORDER BY h.hour_start, h.subscription_id, h.plan_version_id LIMIT :limit""")
_LEAVES = text("""
    SELECT started_at, request_id, billable, units FROM api_requests_log
    WHERE subscription_id = :subscription_id AND plan_version_id = :plan_version_id AND NOT is_test
        AND started_at >= :start AND started_at < :end""")
_PUT = text("""
    INSERT INTO usage_root (subscription_id, plan_version_id, hour_start, version, root, calls, billable_calls, units,
        consumer_org, provider_org, made_at)
    VALUES (:subscription_id, :plan_version_id, :hour_start, :version, :root, :calls, :billable_calls, :units,
        :consumer_org, :provider_org, :now) ON CONFLICT DO NOTHING""")
_LATEST = text("""
    SELECT DISTINCT ON (hour_start, plan_version_id) plan_version_id, hour_start, version, root, calls, billable_calls,
        units, made_at
    FROM usage_root WHERE subscription_id = :subscription_id AND hour_start >= :start AND hour_start < :end
        AND (CAST(:after AS timestamptz) IS NULL OR (hour_start, plan_version_id) > (:after, CAST(:after_plan AS uuid)))
    ORDER BY hour_start, plan_version_id, version DESC LIMIT :limit""")


@dataclass(frozen=True, slots=True)
class DueHour:
    """An hour whose calls are not all in its last root; `version` is that root's, 0 for none."""

    subscription_id: UUID
    plan_version_id: UUID
    hour_start: datetime
    consumer_org: UUID
    provider_org: UUID
    version: int


@dataclass(frozen=True, slots=True)
class Root:
    """The root of an hour, and what its leaves add up to."""

    plan_version_id: UUID
    hour_start: datetime
    version: int
    root: bytes
    calls: int
    billable_calls: int
    units: int
    made_at: datetime


async def due(
    session: AsyncSession, *, start: datetime, end: datetime, limit: int, of: tuple[UUID, UUID] | None = None
) -> list[DueHour]:
    """Hours of [start, end) that need a (further) root, the oldest first; `of` a subscription and plan, or all."""
    subscription_id, plan_version_id = of or (None, None)
    values = {"subscription_id": subscription_id, "plan_version_id": plan_version_id}
    rows = await session.execute(_DUE, {"start": start, "end": end, "limit": limit} | values)
    return [DueHour(*row) for row in rows]


async def leaves(
    session: AsyncSession, *, subscription_id: UUID, plan_version_id: UUID, hour_start: datetime
) -> list[Leaf]:  # fmt: skip
    """The live calls of an hour, sorted by request id."""
    rows = await session.execute(
        _LEAVES,
        {
            "subscription_id": subscription_id, "plan_version_id": plan_version_id, "start": hour_start,
            "end": hour_start + _HOUR,
        },
    )  # fmt: skip
    return sorted(
        Leaf(r.request_id.encode(), (r.started_at - _EPOCH) // _MILLISECOND, r.billable, r.units)
        for r in rows
    )


async def put(
    session: AsyncSession,
    hour: DueHour,
    root: bytes,
    *,
    calls: int,
    billable_calls: int,
    units: int,
    now: datetime,
) -> None:
    """The hour has a root of the next version; those before stay."""
    await session.execute(
        _PUT,
        {
            "subscription_id": hour.subscription_id, "plan_version_id": hour.plan_version_id,
            "hour_start": hour.hour_start, "version": hour.version + 1, "root": root, "calls": calls,
            "billable_calls": billable_calls, "units": units, "consumer_org": hour.consumer_org,
            "provider_org": hour.provider_org, "now": now,
        },
    )  # fmt: skip


async def seal(session: AsyncSession, hour: DueHour, *, now: datetime) -> None:
    """The hour has a root of all calls that are in the log by now."""
    found = await leaves(
        session, subscription_id=hour.subscription_id, plan_version_id=hour.plan_version_id,
        hour_start=hour.hour_start,
    )  # fmt: skip
    await put(
        session, hour, root_of([leaf_hash(leaf.data) for leaf in found]), calls=len(found),
        billable_calls=sum(leaf.billable for leaf in found), units=sum(leaf.units for leaf in found), now=now,
    )  # fmt: skip


async def latest(
    session: AsyncSession, subscription_id: UUID, *, start: datetime, end: datetime,
    after: tuple[datetime, UUID] | None = None, limit: int,
) -> list[Root]:  # fmt: skip
    """The last root of each hour in [start, end)."""
    rows = await session.execute(
        _LATEST,
        {
            "subscription_id": subscription_id, "start": start, "end": end, "limit": limit,
            "after": after[0] if after else None, "after_plan": after[1] if after else None,
        },
    )  # fmt: skip
    return [Root(*row) for row in rows]
