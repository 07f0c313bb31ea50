"""Invoices that wait because calls are missing from what was metered, by the operator."""

from __future__ import annotations

from typing import Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field

from billing.api.dependencies import WorkerDatabase
from billing.db import holds
from billing.db.holds import Hold
from billing.domain.errors import InvoiceHoldNotFound
from billing.usecases.release_hold import release_hold
from common.http.auth import PlatformAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, id_after, page_of

router = APIRouter(prefix="/v1/invoice-holds", tags=["invoice holds"])


class HoldOut(BaseModel):
    """Of `counted` calls of a subscription at least `missing` were not metered when the run's totals were made."""

    id: UUID
    run_id: UUID
    organisation_id: UUID
    subscription_id: UUID
    counted: int
    metered: int
    missing: int
    since: AwareDatetime
    released_at: AwareDatetime | None
    released_by: UUID | None
    note: str | None

    @classmethod
    def of(cls, hold: Hold) -> Self:
        """The hold as it is shown."""
        return cls.model_validate({name: getattr(hold, name) for name in hold.__slots__})


class HoldPage(BaseModel):
    """The oldest first."""

    items: list[HoldOut]
    next_cursor: str | None


class Release(BaseModel):
    """Why the invoice may go out as it is; kept with who said so."""

    note: str = Field(min_length=3, max_length=1_000)


@router.get("")
async def list_holds(
    _: PlatformAdmin, session: Transaction, status: Literal["open", "all"] = "open", run_id: UUID | None = None,
    limit: Limit = 20, cursor: Cursor = None,
) -> HoldPage:  # fmt: skip
    """What waits, or all that ever did."""
    found = await holds.list_holds(
        session, only_open=status == "open", run_id=run_id, after=id_after(cursor), limit=limit + 1
    )
    shown, next_cursor = page_of(found, limit=limit, key=lambda hold: hold.id)
    return HoldPage(items=[HoldOut.of(hold) for hold in shown], next_cursor=next_cursor)


@router.post("/{hold_id}/release", responses=error_responses(InvoiceHoldNotFound))
async def post_release(
    hold_id: UUID, body: Release, caller: PlatformAdmin, worker_db: WorkerDatabase, clock: ClockDep
) -> HoldOut:
    """Let the invoice go on with the totals that there are. Releasing again changes nothing."""
    async with worker_db.begin() as session:
        hold = await release_hold(
            session, hold_id, released_by=caller.user_id, note=body.note, now=clock.now()
        )
    return HoldOut.of(hold)
