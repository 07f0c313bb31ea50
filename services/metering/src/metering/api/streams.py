"""`/v1/usage/export` and `/v1/usage/live`: answers that go on, of which a process gives only so many at a time.

Each page and each look is a short transaction of its own: a slow reader holds no connection to the database.
"""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from common.db import Database
from common.http.auth import Caller, Member
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import DatabaseDep
from metering.api.parquet import Kind, ParquetWriter
from metering.api.ranges import CallFiltersDep, FiltersDep, Range, RangeDep
from metering.api.schemas import BucketOut, LiveOut, RequestOut
from metering.db import positions, request_log, usage
from metering.domain.buckets import Granularity, buckets
from metering.domain.errors import RangeInvalid, StreamsTaken
from metering.domain.rollup import Usage
from metering.domain.usage import CallFilters, Filters

router = APIRouter(tags=["usage"])
_PAGE_ROWS = 5_000
_LOOK_SECONDS, _LIVE_SECONDS, _RETRY_MS = 1.0, 600.0, 2_000
_KINDS = {bool: Kind.BOOLEAN, int: Kind.INTEGER, datetime: Kind.TIMESTAMP}
_COLUMNS = [
    (
        name,
        next(
            (kind for type_, kind in _KINDS.items() if str(type_.__name__) in str(field.annotation)),
            Kind.TEXT,
        ),
    )
    for name, field in RequestOut.model_fields.items()
]


class Slots:
    """How many streams run; more than `most` at a time are refused."""

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """One more stream runs, until the block ends."""
        if self.taken >= self.most:
            raise StreamsTaken(f"{self.most} streams run already: try again when one has ended.")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


async def _slot(request: Request, _: Member) -> AsyncIterator[None]:
    # FastAPI leaves this when the answer is over, also by a client that went away.
    with request.app.state.streams.take():
        yield


SlotDep = Annotated[None, Depends(_slot)]


class Format(StrEnum):
    """How exported rows are written."""

    CSV = "csv"
    PARQUET = "parquet"


_MEDIA_TYPES = {Format.CSV: "text/csv; charset=utf-8", Format.PARQUET: "application/vnd.apache.parquet"}


@router.get(
    "/v1/usage/export", response_class=StreamingResponse,
    responses=error_responses(RangeInvalid, StreamsTaken)
    | {200: {"description": "The rows.", "content": {media_type: {} for media_type in _MEDIA_TYPES.values()}}},
)  # fmt: skip
async def export_requests(
    caller: Member, db: DatabaseDep, filters: FiltersDep, calls: CallFiltersDep, span: RangeDep, _: SlotDep,
    *, format_: Annotated[Format, Query(alias="format", description="csv, or parquet.")] = Format.CSV,
) -> StreamingResponse:  # fmt: skip
    """Single calls as a file, with the fields of `GET /v1/usage/requests`: subscription by subscription, newest first.

    It is sent as it is read. A file that was cut short lacks its last line or, as Parquet, its footer.
    """
    pages = _pages(db, caller, filters, calls, span)
    return StreamingResponse(
        _as_csv(pages) if format_ is Format.CSV else _as_parquet(pages),
        media_type=_MEDIA_TYPES[format_],
        headers={"Content-Disposition": f'attachment; filename="requests.{format_}"'},
    )


async def _pages(
    db: Database, caller: Caller, filters: Filters, calls: CallFilters, span: Range
) -> AsyncIterator[list[list[Any]]]:
    async with db.begin(caller.scope) as session:
        called = await request_log.called_subscriptions(session, filters, start=span.start, end=span.end)
    for subscription_id in called:
        after: tuple[datetime, str] | None = None
        while True:
            async with db.begin(caller.scope) as session:
                rows = await request_log.requests_of(
                    session, filters, calls, subscription_id=subscription_id,
                    start=span.start, end=span.end, after=after, limit=_PAGE_ROWS,
                )  # fmt: skip
            if rows:
                yield [[row[name] for name, _ in _COLUMNS] for row in rows]
            if len(rows) < _PAGE_ROWS:
                break
            after = rows[-1]["started_at"], rows[-1]["request_id"]


async def _as_csv(pages: AsyncIterator[list[list[Any]]]) -> AsyncIterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(name for name, _ in _COLUMNS)
    async for rows in pages:
        for row in rows:
            writer.writerow(value.isoformat() if isinstance(value, datetime) else value for value in row)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()  # the head alone, where nothing was called


async def _as_parquet(pages: AsyncIterator[list[list[Any]]]) -> AsyncIterator[bytes]:
    writer = ParquetWriter(_COLUMNS)
    yield writer.begin()
    async for rows in pages:
        yield writer.page(rows)
    yield writer.end()


@router.get("/v1/usage/live", response_class=EventSourceResponse, responses=error_responses(StreamsTaken))
async def stream_live_usage(
    request: Request, caller: Member, db: DatabaseDep, clock: ClockDep, filters: FiltersDep, _: SlotDep
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events `usage`: this hour and the one before, absolute, whenever a batch of calls changed them.

    The first comes at once, then at most one a second, and a comment as heartbeat when nothing happens. Numbers are
    absolute: an event that was missed is missed by nobody. A stream ends after ten minutes; a client connects again,
    with a token that still holds. `EventSource` of browsers cannot send one: read the stream by `fetch`.
    """
    until, sent = time.monotonic() + _LIVE_SECONDS, None
    while time.monotonic() < until:
        now = clock.now()
        starts = buckets(
            now - timedelta(hours=1), now + timedelta(seconds=1), granularity=Granularity.HOUR, most=3
        )
        async with db.begin(caller.scope) as session:
            found = await usage.series(
                session, filters, granularity=Granularity.HOUR, starts=starts or [], zone=UTC
            )
            as_of = await positions.as_of(session, request.app.state.kafka_log.topic)
        hours = [BucketOut.of(found.get(start, Usage()), start=start) for start in (starts or [])[:-1]]
        if hours != sent:
            sent = hours
            yield ServerSentEvent(event="usage", data=LiveOut(hours=hours, as_of=as_of), retry=_RETRY_MS)
        await asyncio.sleep(_LOOK_SECONDS)
