"""`/v1/usage/…`: what was called, for those who called and those who were."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from common.http.auth import Member
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, decode_cursor, encode_cursor, id_after, not_ours
from metering.api.ranges import CallFiltersDep, FiltersDep, Range, RangeDep
from metering.api.schemas import (
    BreakdownOut,
    ComparedOut,
    ComparisonOut,
    EndpointsOut,
    EndpointUsageOut,
    ErrorOut,
    ErrorsOut,
    QuotaOut,
    QuotasOut,
    RequestOut,
    RequestsOut,
    ShareOut,
    StatusClassesOut,
    StatusClassOut,
    TimeseriesOut,
    TotalsOut,
)
from metering.db import positions, quotas, request_log, usage
from metering.domain.buckets import Granularity, buckets
from metering.domain.errors import RangeInvalid
from metering.domain.lateness import month_of, next_month, start_of
from metering.domain.quota import state_of
from metering.domain.rollup import Usage, changes, share
from metering.domain.usage import Dimension, Filters

router = APIRouter(tags=["usage"])
_MOST_BUCKETS = 1_500


async def _as_of(request: Request, session: AsyncSession) -> datetime | None:
    return await positions.as_of(session, request.app.state.kafka_log.topic)


@router.get("/v1/usage/summary", responses=error_responses(RangeInvalid))
async def get_summary(
    request: Request, _: Member, filters: FiltersDep, span: RangeDep, session: Transaction, *,
    compare: Annotated[bool, Query(description="Also answer the equally long range before, and the change.")] = False,
) -> ComparisonOut:  # fmt: skip
    """Totals of a range, to the millisecond."""
    found = await usage.summary(session, filters, start=span.start, end=span.end)
    previous = await _previous(session, filters, span) if compare else None
    return ComparisonOut.of(
        found, start=span.start, end=span.end, as_of=await _as_of(request, session), previous=previous
    )


async def _previous(session: AsyncSession, filters: Filters, span: Range) -> ComparedOut:
    start = span.start - (span.until - span.start)
    before = await usage.summary(session, filters, start=start, end=span.start)
    now = await usage.summary(session, filters, start=span.start, end=span.until)
    return ComparedOut.of(before, start=start, end=span.start, changes=changes(before.totals, now.totals))


@router.get("/v1/usage/timeseries", response_model=TimeseriesOut, responses=error_responses(RangeInvalid))
async def get_timeseries(
    request: Request, _: Member, filters: FiltersDep, span: RangeDep, session: Transaction,
    granularity: Annotated[
        Granularity, Query(description="Minutes are counted from single calls: for what is recent.")
    ] = Granularity.DAY,
) -> Response:  # fmt: skip
    """Totals by minute, hour, day or month; the range is widened to whole buckets."""
    starts = buckets(span.start, span.end, granularity=granularity, most=_MOST_BUCKETS, zone=span.zone)
    if starts is None:
        raise RangeInvalid(
            f"That is more than {_MOST_BUCKETS} buckets: ask for a shorter range.", field="from"
        )
    if (
        granularity is Granularity.MINUTE
        and span.start < (kept := await request_log.reach(session)).rows_from
    ):
        raise RangeInvalid(
            f"Minutes are kept from {kept.rows_from:%Y-%m-%d} on: ask for hours.", field="granularity"
        )
    found = await usage.series(session, filters, granularity=granularity, starts=starts, zone=span.zone)
    nothing = Usage()
    items = [TotalsOut.fields_of(found.get(start, nothing)) | {"start": start} for start in starts[:-1]]
    # Written as it is: hundreds of models would cost more than all the rest of the answer.
    body = msgspec.json.encode({"items": items, "as_of": await _as_of(request, session)})
    return Response(body, media_type="application/json")


@router.get("/v1/usage/endpoints", responses=error_responses(RangeInvalid))
async def get_endpoints(
    request: Request, _: Member, filters: FiltersDep, span: RangeDep, session: Transaction, limit: Limit = 20
) -> EndpointsOut:
    """Totals by endpoint, the most called first."""
    rows, _all_calls = await usage.breakdown(
        session, filters, by=Dimension.ENDPOINT, start=span.start, end=span.end, limit=limit
    )
    items = [EndpointUsageOut.of(found, **endpoint) for endpoint, found in rows]
    return EndpointsOut(items=items, as_of=await _as_of(request, session))


@router.get("/v1/usage/breakdown", responses=error_responses(RangeInvalid))
async def get_breakdown(
    request: Request, *, _: Member, filters: FiltersDep, span: RangeDep, session: Transaction,
    by: Annotated[Dimension, Query(description="What tells the items apart; `consumer` ranks a provider's customers.")],
    limit: Limit = 20,
) -> BreakdownOut:  # fmt: skip
    """Totals by API, endpoint, version, subscription, key, consumer, provider or country, the most called first.

    Countries are known where the gateway's operator has configured a file to look them up in, and are counted by whole
    UTC days. They cannot be narrowed down to a key, an endpoint or a version.
    """
    if by is Dimension.COUNTRY and not filters.of_whole_subscriptions:
        raise RangeInvalid(
            "Countries are counted by subscription: leave out key_id, endpoint_id and version_id.", field="by"
        )
    rows, calls = await usage.breakdown(session, filters, by=by, start=span.start, end=span.end, limit=limit)
    if by is Dimension.COUNTRY:  # most calls may be of none
        calls = (await usage.summary(session, filters, start=span.start, end=span.end)).totals.calls
    items = [ShareOut.of(found, **ids, share=share(found.totals.calls, calls)) for ids, found in rows]
    return BreakdownOut(by=by, items=items, as_of=await _as_of(request, session))


@router.get("/v1/usage/status-classes", responses=error_responses(RangeInvalid))
async def get_status_classes(
    request: Request, _: Member, filters: FiltersDep, span: RangeDep, session: Transaction
) -> StatusClassesOut:
    """Calls by how they were answered."""
    totals = (await usage.summary(session, filters, start=span.start, end=span.end)).totals
    items = [
        StatusClassOut.model_validate(
            {"status_class": name, "calls": calls, "share": share(calls, totals.calls)}
        )
        for name, calls in totals.by_class().items()
    ]
    return StatusClassesOut(items=items, as_of=await _as_of(request, session))


@router.get("/v1/usage/errors", responses=error_responses(RangeInvalid))
async def get_errors(
    request: Request, _: Member, filters: FiltersDep, span: RangeDep, session: Transaction, limit: Limit = 20
) -> ErrorsOut:
    """What was answered 400 or above by endpoint and status, with request ids to look at."""
    rows = await usage.errors(session, filters, start=span.start, end=span.end, limit=limit)
    items = [ErrorOut.model_validate(row) for row in rows]
    return ErrorsOut(items=items, as_of=await _as_of(request, session))


@router.get("/v1/usage/requests", responses=error_responses(RangeInvalid))
async def list_requests(
    request: Request, *, _: Member, filters: FiltersDep, calls: CallFiltersDep, span: RangeDep, session: Transaction,
    limit: Limit = 20, cursor: Cursor = None,
) -> RequestsOut:  # fmt: skip
    """Single calls, the newest first."""
    after = _after(cursor) if cursor else None
    rows = await request_log.list_requests(
        session, filters, calls, start=span.start, end=span.end, after=after, limit=limit + 1
    )
    items = [RequestOut.model_validate(row) for row in rows[:limit]]
    more = len(rows) > limit
    next_cursor = encode_cursor(items[-1].started_at.isoformat(), items[-1].request_id) if more else None
    return RequestsOut(items=items, next_cursor=next_cursor, as_of=await _as_of(request, session))


def _after(cursor: str) -> tuple[datetime, str]:
    at, request_id = decode_cursor(cursor, parts=2)
    try:
        return datetime.fromisoformat(str(at)).astimezone(UTC), str(request_id)
    except (ValueError, OverflowError):
        raise not_ours() from None


@router.get("/v1/usage/quota")
async def list_quotas(
    request: Request, *, _: Member, session: Transaction, clock: ClockDep, subscription_id: UUID | None = None,
    limit: Limit = 20, cursor: Cursor = None,
) -> QuotasOut:  # fmt: skip
    """This month's quota of each running subscription, yours and those to your APIs."""
    month = month_of(clock.now())
    after = id_after(cursor)
    rows = await quotas.list_quotas(
        session, month=month, subscription_id=subscription_id, after=after, limit=limit + 1
    )
    items = [
        QuotaOut(
            subscription_id=row["subscription_id"], api_id=row["api_id"], period=month.strftime("%Y-%m"),
            limit=row["quota"], used=row["used"],
            remaining=None if row["quota"] is None else max(row["quota"] - row["used"], 0),
            state=state_of(row["used"], row["quota"]), resets_at=start_of(next_month(month)),
        )
        for row in rows[:limit]
    ]  # fmt: skip
    next_cursor = encode_cursor(str(items[-1].subscription_id)) if len(rows) > limit else None
    return QuotasOut(items=items, next_cursor=next_cursor, as_of=await _as_of(request, session))
