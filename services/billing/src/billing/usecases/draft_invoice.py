"""From a task to drafts: rate one organisation at one cut-off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts, holds, invoices, runs, subscriptions, switch, usage
from billing.db.runs import Held, Task
from billing.domain.fees import fee_lines
from billing.domain.invoice import Invoice, InvoiceStatus, Line, by_currency, total_of
from billing.domain.lines import LineDraft, UsageTotal
from billing.domain.payouts import split
from billing.domain.period import Period, billed_month, month_of
from billing.domain.subscription import SoldSubscription
from billing.domain.usage import Segment, late_lines, missing_terms, usage_lines
from common.ids import new_id
from common.log import get_logger

log = get_logger()


@dataclass(frozen=True, slots=True)
class _Rated:
    """What one task came to."""

    lines: tuple[LineDraft, ...]
    unknown: tuple[Segment, ...]  # holds everything until the terms are known
    refused: tuple[Segment, ...]  # waits for the end of the month
    settled: tuple[date, ...]  # months whose corrections are in the lines


async def draft_invoice(session: AsyncSession, *, fee_percent: Decimal, minimum: int, now: datetime) -> bool:
    """One waiting task is done: its drafts are stored, or it is held or carried. False: no task waits.

    One transaction with the organisation locked: two workers never rate the same organisation at once.
    """
    task = await runs.claim_task(session)
    if task is None:
        return False
    await accounts.lock(session, task.organisation_id)
    if await holds.is_held(session, task.run.id, task.organisation_id):
        await runs.finish_task(session, task, status="held", now=now)
        log.warning("invoice.held_incomplete", run_id=task.run.id, organisation_id=task.organisation_id)
        return True
    await runs.forget_held(session, task)
    rated = await _rate(session, task)
    if rated.unknown:
        await _name_unpriced(session, task, rated.unknown, "unknown_terms", now=now)
        await runs.finish_task(session, task, status="held", now=now)
        log.warning("invoice.held", run_id=task.run.id, organisation_id=task.organisation_id)
        return True
    await _name_unpriced(session, task, rated.refused, "volume_inside_month", now=now)
    carried = False
    for currency, lines in by_currency(rated.lines).items():
        stored = total_of(lines) >= minimum and await _store(
            session, task, currency, lines, fee_percent=fee_percent, now=now
        )
        carried = carried or (not stored and any(line.amount for line in lines))
    if not carried:
        await runs.settle_carried(session, task.organisation_id, now=now)
        for month in rated.settled:
            await usage.mark_rated(session, task.organisation_id, month)
    await runs.finish_task(session, task, status="carried" if carried else "done", now=now)
    return True


async def _rate(session: AsyncSession, task: Task) -> _Rated:
    organisation_id, until = task.organisation_id, task.run.until
    sold = await subscriptions.all_of(session, organisation_id)
    since = await switch.since(session)
    fees = await invoices.billed_fees(session, organisation_id)
    lines = [line for s in sold for line in fee_lines(s, until, fees, since=since)]
    month = billed_month(until)
    refused: tuple[Segment, ...] = ()
    unknown: list[Segment] = []
    if since is None or month.start >= since:
        totals = await usage.of_cutoff(session, task.run.id, organisation_id)
        unknown += missing_terms(sold, totals)
        billed = await invoices.billed_usage(session, organisation_id, month)
        rated = usage_lines(until, sold, totals, billed)
        lines, refused = [*lines, *rated.lines], rated.refused
    months = await _closed_months(session, task, since)
    for closed in months:
        totals = await usage.of_closed_month(session, organisation_id, closed)
        unknown += missing_terms(sold, totals)
        lines += await _late(session, task, sold, totals, closed)
    return _Rated(tuple(lines), tuple(unknown), refused, tuple(m.start.date() for m in months))


async def _closed_months(session: AsyncSession, task: Task, since: datetime | None) -> list[Period]:
    """Months before this cut-off's own with corrections, or with lines that a former cut-off carried."""
    own = billed_month(task.run.until)
    corrected = await usage.months_to_adjust(session, task.organisation_id)
    found = {month_of(datetime.combine(first, time(), UTC)) for first in corrected}
    found |= {billed_month(until) for until in await runs.carried(session, task.organisation_id)}
    return sorted(m for m in found if m < own and (since is None or m.start >= since))


async def _late(
    session: AsyncSession,
    task: Task,
    sold: Sequence[SoldSubscription],
    totals: Sequence[UsageTotal],
    month: Period,
) -> tuple[LineDraft, ...]:
    billed = await invoices.billed_usage(session, task.organisation_id, month)
    return late_lines(month, sold, totals, billed, series=task.run.until.isoformat())


async def _store(
    session: AsyncSession,
    task: Task,
    currency: str,
    lines: Sequence[LineDraft],
    *,
    fee_percent: Decimal,
    now: datetime,
) -> bool:
    """The lines are a draft; False when another run invoiced this cut-off before: then they are carried."""
    invoice = Invoice(
        id=new_id(), version=1, organisation_id=task.organisation_id, currency=currency, until=task.run.until,
        status=InvoiceStatus.DRAFT, total=total_of(lines), created_at=now, run_id=task.run.id,
        lines=tuple(
            Line(new_id(), position, line, split(line.amount, fee_percent=fee_percent).fee)
            for position, line in enumerate(lines, start=1)
        ),
    )  # fmt: skip
    if not await invoices.insert_if_absent(session, invoice):
        return False
    log.info(
        "invoice.drafted",
        invoice_id=invoice.id,
        organisation_id=invoice.organisation_id,
        total=invoice.total,
    )
    return True


async def _name_unpriced(
    session: AsyncSession, task: Task, segments: Sequence[Segment], reason: str, *, now: datetime
) -> None:
    for subscription_id, plan_version_id in segments:
        item = Held(task.organisation_id, subscription_id, plan_version_id, reason)
        await runs.hold(session, task.run.id, item, now=now)
