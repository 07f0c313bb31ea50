"""What the gateway's nodes counted, in spans of time without a gap, and how much of each span is metered.

A span begins and ends with a reading, each with the moments before and after it (from, to): a call that ended in
between may be in it or not. Spans end at hours and at cut-offs; the next begins with the same reading, so over
spans in a row only the outer two readings are uncertain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.domain.completeness import Share
from metering.domain.gateway_counters import Reading, Series

# Clocks of gateway and worker may differ by so much.
_SKEW = timedelta(seconds=1)
# A call is looked for by its end, and the log is sorted by beginnings.
_LONGEST_CALL = timedelta(hours=1)
_KEPT = timedelta(days=120)

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('metering gateway counts'))")
_NODES = text("SELECT node, requests_total FROM gateway_node")
_COUNTERS = text("SELECT node, service, route, consumer, requests FROM gateway_counter")
_PUT_NODE = text("""
    INSERT INTO gateway_node (node, requests_total, read_at) VALUES (:node, :total, :now)
    ON CONFLICT (node) DO UPDATE SET requests_total = excluded.requests_total, read_at = excluded.read_at""")
_FORGET = text("DELETE FROM gateway_counter WHERE node = :node")
_FORGET_NODES = text("DELETE FROM gateway_node WHERE NOT node = ANY(:nodes)")
_FORGET_OTHERS = text("DELETE FROM gateway_counter WHERE NOT node = ANY(:nodes)")
_SERIES = """unnest(CAST(:services AS text[]), CAST(:routes AS text[]), CAST(:consumers AS text[]),
    CAST(:versions AS uuid[]), CAST(:apis AS uuid[]), CAST(:subscriptions AS uuid[]), CAST(:requests AS bigint[]))
    AS s (service, route, consumer, version_id, api_id, subscription_id, requests)"""
_PUT_COUNTERS = text(f"""
    INSERT INTO gateway_counter AS t (node, service, route, consumer, requests)
    SELECT :node, s.service, s.route, s.consumer, s.requests FROM {_SERIES}
    ON CONFLICT (node, service, route, consumer) DO UPDATE SET requests = t.requests + excluded.requests""")
_ADD = text(f"""
    INSERT INTO gateway_requests AS t
        (span_id, node, service, route, consumer, version_id, api_id, subscription_id, requests)
    SELECT :span, :node, s.* FROM {_SERIES} WHERE s.version_id IS NOT NULL OR s.api_id IS NOT NULL
    ON CONFLICT (span_id, node, service, route, consumer) DO UPDATE SET requests = t.requests + excluded.requests""")
_OPEN = text("SELECT id, began_from, until_from FROM gateway_span WHERE is_open")
_BEGIN = text("""
    INSERT INTO gateway_span (began_from, began_to, until_from, until_to, is_open)
    VALUES (:from, :to, :from, :to, true)""")
_EXTEND = text("UPDATE gateway_span SET until_from = :from, until_to = :to WHERE id = :id")
_CLOSE = text("UPDATE gateway_span SET is_open = false WHERE id = :id")
_DROP = text("DELETE FROM gateway_span WHERE id = :id")
_PRUNE = text("DELETE FROM gateway_span WHERE until_from < :before")
_NEXT_CUT = text("SELECT min(until) FROM cutoff WHERE answered_at IS NULL AND until > :after")
_UNJUDGED = text("""
    SELECT id, began_from, began_to, until_from, until_to FROM gateway_span
    WHERE NOT is_open AND until_to < :read_to AND (judged_at IS NULL OR (missing > 0 AND judged_at < :again))
    ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED""")
_CLEAR = text("DELETE FROM completeness WHERE span_id = :id")
_JUDGE = text("""
    WITH heap AS (
        SELECT coalesce(r.api_id, v.api_id) AS api_id, r.subscription_id, NULL::uuid AS provider_org,
            r.requests AS counted, 0 AS metered, 0 AS before, 0 AS after
        FROM gateway_requests r LEFT JOIN api_version v ON v.version_id = r.version_id
        WHERE r.span_id = :id AND coalesce(r.api_id, v.api_id) IS NOT NULL
        UNION ALL
        SELECT api_id, subscription_id, provider_org, 0, (ended > :began_from AND ended <= :until_from)::int,
            (ended <= :began_from)::int, (ended > :until_from)::int
        FROM (SELECT api_id, subscription_id, provider_org, started_at + latency_ms * interval '1 ms' AS ended
              FROM api_requests_log WHERE started_at > :first AND started_at <= :last) AS calls
        WHERE ended > :low AND ended <= :last)
    INSERT INTO completeness (span_id, api_id, subscription_id, provider_org, counted, metered, before, after)
    SELECT :id, h.api_id, h.subscription_id,
        coalesce(min(h.provider_org::text),
            (SELECT min(s.provider_org::text) FROM subscription s WHERE s.api_id = h.api_id),
            (SELECT min(u.provider_org::text) FROM usage_records_daily_now u WHERE u.api_id = h.api_id))::uuid,
        sum(h.counted)::bigint, sum(h.metered)::bigint, sum(h.before)::bigint, sum(h.after)::bigint
    FROM heap h GROUP BY h.api_id, h.subscription_id""")
_JUDGED = text("""
    UPDATE gateway_span SET judged_at = :now, judgements = judgements + 1, missing = :missing WHERE id = :id
    RETURNING judgements""")
_IS_JUDGED = text(
    "SELECT EXISTS (SELECT 1 FROM gateway_span WHERE judged_at IS NOT NULL AND until_from >= :until)"
)
# The uncertain calls at an end count only where no judged span goes on from the same reading.
_SHARES = """
    WITH spans AS (
        SELECT g.id, g.began_from, g.until_from,
            NOT EXISTS (SELECT 1 FROM gateway_span p WHERE p.until_from = g.began_from AND p.judged_at IS NOT NULL
                AND p.began_from >= :start) AS begins,
            NOT EXISTS (SELECT 1 FROM gateway_span n WHERE n.began_from = g.until_from AND n.judged_at IS NOT NULL
                AND n.began_from < :end) AS ends
        FROM gateway_span g WHERE g.judged_at IS NOT NULL AND g.until_from > :start AND g.began_from < :end)"""
_BY_SUBSCRIPTION = text(
    _SHARES
    + """
    SELECT c.api_id, c.subscription_id, sum(c.counted)::bigint AS counted, sum(c.metered)::bigint AS metered,
        sum(CASE WHEN s.begins THEN c.before ELSE 0 END + CASE WHEN s.ends THEN c.after ELSE 0 END)::bigint AS margin
    FROM completeness c JOIN spans s ON s.id = c.span_id WHERE c.subscription_id IS NOT NULL
    GROUP BY c.api_id, c.subscription_id HAVING sum(c.counted) > sum(c.metered) ORDER BY c.api_id, c.subscription_id"""
)
_LIST = text("""
    SELECT s.id, s.began_from, s.until_from, c.api_id, c.provider_org, sum(c.counted)::bigint AS counted,
        sum(c.metered)::bigint AS metered, sum(c.before + c.after)::bigint AS margin
    FROM gateway_span s JOIN completeness c ON c.span_id = s.id
    WHERE s.judged_at IS NOT NULL AND s.until_from > :start AND s.began_from < :end
        AND (CAST(:api_id AS uuid) IS NULL OR c.api_id = :api_id)
        AND (CAST(:provider AS uuid) IS NULL OR c.provider_org = :provider)
        AND (CAST(:after_id AS bigint) IS NULL OR (s.id, c.api_id) < (:after_id, CAST(:after_api AS uuid)))
    GROUP BY s.id, c.api_id, c.provider_org ORDER BY s.id DESC, c.api_id DESC LIMIT :limit""")
_KNOWN = text("""
    SELECT coalesce(sum(extract(epoch FROM least(until_from, :end) - greatest(began_from, :start))), 0)
    FROM gateway_span WHERE judged_at IS NOT NULL AND until_from > :start AND began_from < :end""")
_SUBSCRIBERS = text(
    "SELECT subscription_id, consumer_org, plan_version_id FROM subscription WHERE subscription_id = ANY(:ids)"
)


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time of which it is known what the gateway counted; `until` moves while it is open."""

    id: int
    began_from: datetime
    until_from: datetime


@dataclass(frozen=True, slots=True)
class ApiShare:
    """One API's share in one span, or of one subscription to it."""

    span: Span
    api_id: UUID
    provider_org: UUID | None
    share: Share


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Whose a subscription is, and under which plan version it runs now."""

    consumer_org: UUID
    plan_version_id: UUID


async def last_readings(session: AsyncSession) -> dict[str, Reading]:
    """Each node's counters as they were read last. Until this transaction ends nobody else records any."""
    await session.execute(_LOCK)
    series: dict[str, dict[Series, int]] = {}
    for row in await session.execute(_COUNTERS):
        series.setdefault(row.node, {})[Series(row.service, row.route, row.consumer)] = row.requests
    return {r.node: Reading(r.requests_total, series.get(r.node, {})) for r in await session.execute(_NODES)}


async def keep_reading(
    session: AsyncSession, node: str, reading: Reading, grown: Mapping[Series, int] | None, *, now: datetime
) -> None:
    """The node's counters are as read: raised by `grown`, or from the beginning when that is None."""
    await session.execute(_PUT_NODE, {"node": node, "total": reading.requests_total, "now": now})
    if grown is None:
        await session.execute(_FORGET, {"node": node})
    added = reading.series if grown is None else grown
    await session.execute(_PUT_COUNTERS, {"node": node} | _columns(added))


async def forget_other_nodes(session: AsyncSession, nodes: Sequence[str]) -> None:
    """What other nodes had counted is forgotten: they are not asked any more."""
    await session.execute(_FORGET_NODES, {"nodes": list(nodes)})
    await session.execute(_FORGET_OTHERS, {"nodes": list(nodes)})


async def open_span(session: AsyncSession) -> Span | None:
    """The span that goes on."""
    row = (await session.execute(_OPEN)).first()
    return None if row is None else Span(*row)


async def begin_span(session: AsyncSession, *, before: datetime, after: datetime) -> None:
    """A span begins with the reading made between `before` and `after`; very old ones go."""
    await session.execute(_BEGIN, {"from": before, "to": after})
    await session.execute(_PRUNE, {"before": before - _KEPT})


async def extend_span(
    session: AsyncSession,
    span: Span,
    grown: Mapping[str, Mapping[Series, int]],
    *,
    before: datetime,
    after: datetime,
) -> None:
    """The span reaches to the reading made between `before` and `after`, and holds what was counted since."""
    await session.execute(_EXTEND, {"id": span.id, "from": before, "to": after})
    for node, series in grown.items():
        await session.execute(_ADD, {"span": span.id, "node": node} | _columns(series))


async def close_span(session: AsyncSession, span: Span) -> None:
    """The span is closed, or gone if no time was in it."""
    await session.execute(_CLOSE if span.until_from > span.began_from else _DROP, {"id": span.id})


async def next_cutoff(session: AsyncSession, *, after: datetime) -> datetime | None:
    """The first cut-off after `after` that waits for its answer."""
    found: datetime | None = await session.scalar(_NEXT_CUT, {"after": after})
    return found


async def judge(
    session: AsyncSession, *, read_to: datetime, again: datetime, now: datetime
) -> list[tuple[Span, int]]:
    """Closed spans that ended before `read_to` are compared with what is metered; each, and how often it was.

    One of which calls were missing is compared again when that was done before `again`: they may have come.
    """
    judged = []
    for row in (await session.execute(_UNJUDGED, {"read_to": read_to - _SKEW, "again": again})).all():
        low = row.began_from - _SKEW
        moments = {
            "id": row.id, "began_from": row.began_from, "until_from": row.until_from, "first": low - _LONGEST_CALL,
            "low": low, "last": row.until_to + _SKEW,
        }  # fmt: skip
        await session.execute(_CLEAR, {"id": row.id})
        await session.execute(_JUDGE, moments)
        span = Span(row.id, row.began_from, row.until_from)
        missing = sum(found.share.missing for found in await _of_span(session, span))
        times = await session.scalar(_JUDGED, {"id": row.id, "missing": missing, "now": now})
        judged.append((span, int(times or 1)))
    return judged


async def _of_span(session: AsyncSession, span: Span) -> list[ApiShare]:
    rows = await session.execute(
        text("""SELECT api_id, provider_org, counted, metered, before + after AS margin FROM completeness
                WHERE span_id = :id"""),
        {"id": span.id},
    )
    return [ApiShare(span, r.api_id, r.provider_org, Share(r.counted, r.metered, r.margin)) for r in rows]


async def is_judged(session: AsyncSession, until: datetime) -> bool:
    """It is known how complete everything is that was counted up to `until`, but for gaps before."""
    return bool(await session.scalar(_IS_JUDGED, {"until": until}))


async def of_subscriptions(
    session: AsyncSession, *, start: datetime, end: datetime
) -> dict[tuple[UUID, UUID], Share]:
    """By API and subscription, those of whose calls in [start, end) fewer are metered than were counted."""
    rows = await session.execute(_BY_SUBSCRIPTION, {"start": start, "end": end})
    return {(r.api_id, r.subscription_id): Share(r.counted, r.metered, r.margin) for r in rows}


async def list_shares(
    session: AsyncSession, *, start: datetime, end: datetime, api_id: UUID | None, provider_org: UUID | None,
    after: tuple[int, UUID] | None, limit: int,
) -> list[ApiShare]:  # fmt: skip
    """Each API's share of each span in [start, end), the newest first."""
    rows = await session.execute(
        _LIST,
        {
            "start": start, "end": end, "api_id": api_id, "provider": provider_org, "limit": limit,
            "after_id": after[0] if after else None, "after_api": after[1] if after else None,
        },
    )  # fmt: skip
    return [
        ApiShare(
            Span(r.id, r.began_from, r.until_from),
            r.api_id,
            r.provider_org,
            Share(r.counted, r.metered, r.margin),
        )
        for r in rows
    ]


async def known_seconds(session: AsyncSession, *, start: datetime, end: datetime) -> float:
    """Of how much of [start, end) it is known what was counted, and judged."""
    return float(await session.scalar(_KNOWN, {"start": start, "end": end}) or 0)


async def subscribers(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Subscriber]:
    """Those of the subscriptions that are known here."""
    rows = await session.execute(_SUBSCRIBERS, {"ids": list(ids)})
    return {r.subscription_id: Subscriber(r.consumer_org, r.plan_version_id) for r in rows}


def _columns(series: Mapping[Series, int]) -> dict[str, Any]:
    keys = sorted(series)
    return {
        "services": [k.service for k in keys], "routes": [k.route for k in keys],
        "consumers": [k.consumer for k in keys], "versions": [k.version_id for k in keys],
        "apis": [k.api_id for k in keys], "subscriptions": [k.subscription_id for k in keys],
        "requests": [series[k] for k in keys],
    }  # fmt: skip
