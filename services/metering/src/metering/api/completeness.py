"""`GET /v1/completeness`: how much of what the gateway counted is metered."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from common.http.auth import Member
from common.http.errors import error_responses
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, decode_cursor, encode_cursor, not_ours
from metering.api.ranges import RangeDep
from metering.db import gateway_counts
from metering.db.gateway_counts import ApiShare
from metering.domain.errors import RangeInvalid

router = APIRouter(tags=["completeness"])


class ShareOut(BaseModel):
    """One API in one span of time, at most an hour.

    `margin` calls ended so close to an end of the span that the gateway may have counted them on its other side;
    `missing` are certainly not metered. `percent` is rounded down: 100 says that none is known to be missing.
    """

    start: datetime
    until: datetime
    api_id: UUID
    counted: int
    metered: int
    margin: int
    missing: int
    percent: Decimal

    @classmethod
    def of(cls, found: ApiShare) -> ShareOut:
        """The share as answered."""
        share = found.share
        return cls(
            start=found.span.began_from, until=found.span.until_from, api_id=found.api_id, counted=share.counted,
            metered=share.metered, margin=share.margin, missing=share.missing, percent=share.percent,
        )  # fmt: skip


class CompletenessOut(BaseModel):
    """The newest span first; of `unknown_seconds` of the range it is not (or not yet) known what was counted."""

    items: list[ShareOut]
    next_cursor: str | None
    unknown_seconds: float


@router.get("/v1/completeness", responses=error_responses(RangeInvalid))
async def get_completeness(
    *, caller: Member, span: RangeDep, session: Transaction, api_id: UUID | None = None, limit: Limit = 20,
    cursor: Cursor = None,
) -> CompletenessOut:  # fmt: skip
    """Of your APIs; an operator sees all."""
    found = await gateway_counts.list_shares(
        session, start=span.start, end=span.end, api_id=api_id, limit=limit + 1,
        provider_org=None if caller.platform_admin else caller.organisation_id,
        after=_after(cursor) if cursor else None,
    )  # fmt: skip
    known = await gateway_counts.known_seconds(session, start=span.start, end=span.end)
    last = found[limit - 1] if len(found) > limit else None
    return CompletenessOut(
        items=[ShareOut.of(item) for item in found[:limit]],
        next_cursor=encode_cursor(last.span.id, str(last.api_id)) if last else None,
        unknown_seconds=max(0.0, (span.end - span.start).total_seconds() - known),
    )


def _after(cursor: str) -> tuple[int, UUID]:
    span_id, api_id = decode_cursor(cursor, parts=2)
    try:
        return int(str(span_id)), UUID(str(api_id))
    except ValueError:
        raise not_ours() from None
