"""`/v1/usage/roots`, `/evidence`, `/proof`: what `marketplace verify-usage` checks without us."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from common.http.auth import Member
from common.http.errors import error_responses
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, decode_cursor, encode_cursor, not_ours
from metering.api.ranges import RangeDep
from metering.db import roots
from metering.db.roots import Root
from metering.domain.errors import RangeInvalid, RootMissing
from metering.domain.merkle import Leaf, prove
from metering.domain.merkle import Member as TreeMember
from metering.domain.windows import ceil_hour, floor_hour

router = APIRouter(tags=["evidence"])
_HOUR = timedelta(hours=1)
_MOST_HOURS = 750
_MOST_CALLS = 100_000
LeafOut = tuple[int, bool, int, str]  # began (milliseconds since 1970), billable, units, request id


class RootOut(BaseModel):
    """An hour's Merkle root, and what its leaves add up to. Keep it: it shows that nothing was changed since."""

    plan_version_id: UUID
    hour: datetime
    version: int
    root: str
    calls: int
    billable_calls: int
    units: int
    made_at: datetime

    @classmethod
    def of(cls, found: Root) -> RootOut:
        """The root as answered."""
        return cls(
            plan_version_id=found.plan_version_id, hour=found.hour_start, version=found.version,
            root=found.root.hex(), calls=found.calls, billable_calls=found.billable_calls, units=found.units,
            made_at=found.made_at,
        )  # fmt: skip


class RootsOut(BaseModel):
    """In order of time."""

    items: list[RootOut]
    next_cursor: str | None


class HourOut(BaseModel):
    """One hour with all its leaves, sorted by request id."""

    hour: datetime
    version: int
    root: str
    leaves: list[LeafOut]


class EvidenceOut(BaseModel):
    """Every call of a subscription under a plan version in [start, until), by whole hours."""

    format: Literal["usage-evidence/1"] = "usage-evidence/1"
    subscription_id: UUID
    plan_version_id: UUID
    start: datetime
    until: datetime
    hours: list[HourOut]


class MemberOut(BaseModel):
    """A leaf, its place and its audit path, from the leaf to the root."""

    index: int
    leaf: LeafOut
    path: list[str]

    @classmethod
    def of(cls, found: TreeMember) -> MemberOut:
        """The member as answered."""
        return cls(index=found.index, leaf=_leaf(found.leaf), path=[step.hex() for step in found.path])


class ProofOut(BaseModel):
    """One call is in (`members` is its leaf) or out (`members` are the neighbours of the place that it would have)."""

    format: Literal["usage-proof/1"] = "usage-proof/1"
    subscription_id: UUID
    plan_version_id: UUID
    hour: datetime
    version: int
    root: str
    calls: int
    request_id: str
    is_in: bool
    members: list[MemberOut]


def _leaf(leaf: Leaf) -> LeafOut:
    return leaf.started_at_ms, leaf.billable, leaf.units, leaf.request_id.decode()


@router.get("/v1/usage/roots", responses=error_responses(RangeInvalid))
async def list_roots(
    _: Member,
    span: RangeDep,
    session: Transaction,
    *,
    subscription_id: UUID,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> RootsOut:
    """The last root of each hour of a subscription, of yours or to your APIs."""
    found = await roots.latest(
        session, subscription_id, start=span.start, end=span.end, after=_after(cursor) if cursor else None,
        limit=limit + 1,
    )  # fmt: skip
    items = [RootOut.of(root) for root in found[:limit]]
    last = items[-1] if len(found) > limit else None
    next_cursor = encode_cursor(last.hour.isoformat(), str(last.plan_version_id)) if last else None
    return RootsOut(items=items, next_cursor=next_cursor)


def _after(cursor: str) -> tuple[datetime, UUID]:
    hour, plan = decode_cursor(cursor, parts=2)
    try:
        return datetime.fromisoformat(str(hour)), UUID(str(plan))
    except ValueError:
        raise not_ours() from None


@router.get("/v1/usage/evidence", responses=error_responses(RangeInvalid, RootMissing))
async def get_evidence(
    *, _: Member, session: Transaction, subscription_id: UUID, plan_version_id: UUID,
    start: Annotated[AwareDatetime, Query(alias="from")], to: AwareDatetime,
) -> EvidenceOut:  # fmt: skip
    """Every leaf of the hours that [from, to) touches; at most 750 hours and 100,000 calls: ask for parts of more."""
    low, high = floor_hour(start), ceil_hour(to)
    if not timedelta(0) < high - low <= _MOST_HOURS * _HOUR:
        raise RangeInvalid(f"`to` must be after `from`, by at most {_MOST_HOURS} hours.", field="to")
    known = await roots.latest(session, subscription_id, start=low, end=high, limit=10 * _MOST_HOURS)
    hours: list[HourOut] = []
    calls = 0
    for root in known:
        if root.plan_version_id != plan_version_id:
            continue
        calls += root.calls
        if calls > _MOST_CALLS:
            raise RangeInvalid(f"More than {_MOST_CALLS} calls: ask for a shorter time.", field="to")
        leaves = await _leaves(session, subscription_id, root)
        hours.append(
            HourOut(
                hour=root.hour_start,
                version=root.version,
                root=root.root.hex(),
                leaves=[_leaf(x) for x in leaves],
            )
        )
    if await roots.due(session, start=low, end=high, limit=1, of=(subscription_id, plan_version_id)):
        raise _not_made()
    return EvidenceOut(
        subscription_id=subscription_id, plan_version_id=plan_version_id, start=low, until=high, hours=hours
    )


@router.get("/v1/usage/proof", responses=error_responses(RootMissing))
async def get_proof(
    *, _: Member, session: Transaction, subscription_id: UUID, plan_version_id: UUID, hour: AwareDatetime,
    request_id: str,
) -> ProofOut:  # fmt: skip
    """That one call is, or is not, among those of an hour."""
    low = floor_hour(hour)
    known = await roots.latest(session, subscription_id, start=low, end=low + _HOUR, limit=100)
    root = next((found for found in known if found.plan_version_id == plan_version_id), None)
    if root is None:
        raise _not_made()
    is_in, members = prove(request_id.encode(), await _leaves(session, subscription_id, root))
    return ProofOut(
        subscription_id=subscription_id, plan_version_id=plan_version_id, hour=low, version=root.version,
        root=root.root.hex(), calls=root.calls, request_id=request_id, is_in=is_in,
        members=[MemberOut.of(member) for member in members],
    )  # fmt: skip


async def _leaves(session: AsyncSession, subscription_id: UUID, root: Root) -> list[Leaf]:
    found = await roots.leaves(
        session,
        subscription_id=subscription_id,
        plan_version_id=root.plan_version_id,
        hour_start=root.hour_start,
    )
    if len(found) != root.calls:
        raise _not_made()
    return found


def _not_made() -> RootMissing:
    return RootMissing(
        "An hour in it has no root of all its calls yet: one is made when it is over and complete."
    )
