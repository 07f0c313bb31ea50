"""What alert rules measure, from counters and rollups; live keys' calls only."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.totals import USAGE_SUMS, to_usage
from metering.domain.alert import AlertPeriod, AlertRule
from metering.domain.rollup import Usage

_OWNED_SUBSCRIPTION = text("""
    SELECT 1 FROM subscription WHERE subscription_id = :subject AND consumer_org = :organisation_id""")
_OWNED_API = text("SELECT 1 FROM api WHERE api_id = :subject AND provider_org = :organisation_id")
_STATUS = text("SELECT status FROM subscription WHERE subscription_id = :subscription_id")
_QUOTA = text("""
    SELECT coalesce(u.units, 0) AS used, s.quota FROM subscription AS s LEFT JOIN quota_usage AS u
        ON u.consumer_org = s.consumer_org AND u.api_id = s.api_id AND u.month = :month
    WHERE s.subscription_id = :subscription_id""")
_SPEND = text("""
    SELECT amount, currency FROM subscription_spend WHERE subscription_id = :subscription_id AND month = :month""")
_PUT_SPEND = text("""
    INSERT INTO subscription_spend AS t (subscription_id, month, version, currency, amount)
    VALUES (:subscription_id, :month, :version, :currency, :amount)
    ON CONFLICT (subscription_id, month) DO UPDATE SET version = excluded.version, currency = excluded.currency,
        amount = excluded.amount
    WHERE excluded.version > t.version RETURNING 1""")
_PUT_API = text("""
    INSERT INTO api AS t (api_id, version, provider_org) VALUES (:api_id, :version, :provider_org)
    ON CONFLICT (api_id) DO UPDATE SET version = excluded.version, provider_org = excluded.provider_org
    WHERE excluded.version > t.version""")


def _own(rule: AlertRule) -> tuple[str, dict[str, Any]]:
    """A condition for the rule's calls, on columns that the rollups have indexes for."""
    if rule.subscription_id is not None:
        return "subscription_id = :subject AND NOT is_test", {"subject": rule.subscription_id}
    values = {"subject": rule.api_id, "provider": rule.organisation_id}
    return "provider_org = :provider AND api_id = :subject AND NOT is_test", values


async def owns_subject(session: AsyncSession, rule: AlertRule) -> bool:
    """True when the subscription is the organisation's own as consumer, or the API as provider."""
    query, subject = (
        (_OWNED_SUBSCRIPTION, rule.subscription_id) if rule.subscription_id else (_OWNED_API, rule.api_id)
    )
    values = {"subject": subject, "organisation_id": rule.organisation_id}
    return await session.scalar(query, values) is not None


async def is_running(session: AsyncSession, subscription_id: UUID | None) -> bool:
    """False for a subscription that no call is expected of; an API always may be called."""
    if subscription_id is None:
        return True
    return await session.scalar(_STATUS, {"subscription_id": subscription_id}) in ("active", "past_due")


async def usage(session: AsyncSession, rule: AlertRule, *, start: datetime) -> Usage:
    """The totals and latencies of the rule's hour or day that begins at `start`."""
    where, values = _own(rule)
    by_day = rule.period is AlertPeriod.DAY
    table, time = ("usage_records_daily_now", "day") if by_day else ("usage_records_hourly_now", "hour_start")
    query = text(f"SELECT {USAGE_SUMS} FROM {table} WHERE {where} AND {time} = :start")
    found = await session.execute(query, values | {"start": start.date() if by_day else start})
    return to_usage(found.one())


async def last_hour_with_calls(session: AsyncSession, rule: AlertRule, *, since: datetime) -> datetime | None:
    """The start of the latest hour, from `since` on, in which there was a call."""
    where, values = _own(rule)
    latest = " UNION ALL ".join(
        f"(SELECT hour_start FROM {table} WHERE {where} AND hour_start >= :since ORDER BY hour_start DESC LIMIT 1)"
        for table in (
            "usage_records_hourly",
            "usage_delta",
            "usage_pending",
        )  # each by itself, or the index could not end the search
    )
    query = text(f"SELECT max(hour_start) FROM ({latest}) AS latest")
    found: datetime | None = await session.scalar(query, values | {"since": since})
    return found


async def quota(session: AsyncSession, subscription_id: UUID, *, month: date) -> tuple[int, int | None]:
    """Units used in `month`, and the quota."""
    row = (await session.execute(_QUOTA, {"subscription_id": subscription_id, "month": month})).first()
    return (0, None) if row is None else (row.used, row.quota)


async def spend(session: AsyncSession, subscription_id: UUID, *, month: date) -> tuple[int, str] | None:
    """What billing said last of the month's usage: minor units and currency."""
    row = (await session.execute(_SPEND, {"subscription_id": subscription_id, "month": month})).first()
    return None if row is None else (row.amount, row.currency)


async def put_spend(
    session: AsyncSession, *, subscription_id: UUID, month: date, version: int, currency: str, amount: int
) -> bool:
    """The copy is at least as new; False when it was newer already."""
    values = {"subscription_id": subscription_id, "month": month, "version": version, "currency": currency,
              "amount": amount}  # fmt: skip
    return (await session.execute(_PUT_SPEND, values)).first() is not None


async def put_api(session: AsyncSession, *, api_id: UUID, version: int, provider_org: UUID) -> None:
    """The copy of who owns the API is at least as new."""
    await session.execute(_PUT_API, {"api_id": api_id, "version": version, "provider_org": provider_org})
