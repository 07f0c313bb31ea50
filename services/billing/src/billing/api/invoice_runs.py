"""Cutting off and invoicing, by the operator."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from billing.api.dependencies import OptionsDep
from billing.db import runs
from billing.db.runs import InvoiceRun
from billing.domain.errors import BillingDisabled, CutoffInFuture, InvoiceRunNotFound
from billing.usecases.request_invoice_run import request_invoice_run
from common.http.auth import PlatformAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import Transaction

router = APIRouter(prefix="/v1/invoice-runs", tags=["invoice runs"])


class InvoiceRunRequest(BaseModel):
    """Of one organisation or of all; up to `until`, by default the start of this month."""

    organisation_id: UUID | None = None
    until: AwareDatetime | None = None


class UnpricedOut(BaseModel):
    """Usage that could not be priced, and why."""

    organisation_id: UUID
    subscription_id: UUID
    plan_version_id: UUID
    reason: str


class InvoiceRunOut(BaseModel):
    """A run; `invoice_ids` grows until it is done."""

    id: UUID
    organisation_id: UUID | None
    until: AwareDatetime
    status: Literal["waiting", "done"]
    invoice_ids: list[UUID]
    unpriced: list[UnpricedOut]


@router.post("", status_code=202, responses=error_responses(BillingDisabled, CutoffInFuture))
async def post_invoice_run(
    body: InvoiceRunRequest, _: PlatformAdmin, session: Transaction, clock: ClockDep, options: OptionsDep
) -> InvoiceRunOut:
    """Cut off and invoice. The same request is the same run, so it may be repeated at will."""
    run = await request_invoice_run(
        session, organisation_id=body.organisation_id, until=body.until, enabled=options.enabled,
        now=clock.now(),
    )  # fmt: skip
    return await _out(session, run)


@router.get("/{run_id}", responses=error_responses(InvoiceRunNotFound))
async def get_invoice_run(run_id: UUID, _: PlatformAdmin, session: Transaction) -> InvoiceRunOut:
    """A run, its invoices so far, and what holds it up."""
    return await _out(session, await runs.get(session, run_id))


async def _out(session: AsyncSession, run: InvoiceRun) -> InvoiceRunOut:
    held = await runs.held(session, run.id)
    return InvoiceRunOut(
        id=run.id, organisation_id=run.organisation_id, until=run.until,
        status="done" if run.status == "done" else "waiting",
        invoice_ids=await runs.invoice_ids(session, run),
        unpriced=[
            UnpricedOut(
                organisation_id=item.organisation_id, subscription_id=item.subscription_id,
                plan_version_id=item.plan_version_id, reason=item.reason,
            )
            for item in held
        ],
    )  # fmt: skip
