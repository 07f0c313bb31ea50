"""Invoices and their lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

from asyncpg import Range
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from billing.domain.errors import InvoiceNotFound
from billing.domain.invoice import Invoice, InvoiceStatus, Line
from billing.domain.lines import FeeLine, LineDraft, LineKind, UsageBilled
from billing.domain.period import Period

_INSERT = text("""
    INSERT INTO invoice (id, version, run_id, organisation_id, currency, until, status, total, created_at)
    VALUES (:id, :version, :run_id, :organisation_id, :currency, :until, :status, :total, :created_at)
    ON CONFLICT (organisation_id, currency, until) DO NOTHING RETURNING id""")
_INSERT_LINE = text("""
    INSERT INTO invoice_line (id, invoice_id, position, organisation_id, provider_organisation_id, subscription_id,
        plan_version_id, api_id, kind, series, during, month, description, quantity, unit_price, amount, fee,
        metered_total, trace)
    VALUES (:id, :invoice_id, :position, :organisation_id, :provider_organisation_id, :subscription_id,
        :plan_version_id, :api_id, :kind, :series, tstzrange(:start, :end), :month, :description, :quantity,
        :unit_price, :amount, :fee, :metered_total, CAST(:trace AS jsonb))""")
_GET = text("SELECT * FROM invoice WHERE id = :id")
_LOCK = text("SELECT * FROM invoice WHERE id = :id FOR UPDATE")
_LINES = text("SELECT * FROM invoice_line WHERE invoice_id = ANY(:ids) ORDER BY invoice_id, position")
_LIST = text("""
    SELECT * FROM invoice WHERE organisation_id = :organisation_id AND status <> 'draft'
        AND (CAST(:after AS uuid) IS NULL OR id < :after)
    ORDER BY id DESC LIMIT :limit""")
_SAVE = text("""
    UPDATE invoice SET version = :version, status = :status, number = :number, issued_at = :issued_at,
        paid_at = :paid_at, closed_at = :closed_at WHERE id = :id AND version = :version - 1""")
_CLAIM_DRAFT = text("""
    SELECT * FROM invoice WHERE status = 'draft' ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED""")
_NEXT_NUMBER = text("""
    INSERT INTO number_series AS s (seller, last_number) VALUES (:seller, 1)
    ON CONFLICT (seller) DO UPDATE SET last_number = s.last_number + 1 RETURNING last_number""")
_FEES = text("""
    SELECT id, kind, subscription_id, plan_version_id, during, series FROM invoice_line
    WHERE organisation_id = :organisation_id AND kind IN ('fixed_fee', 'proration', 'credit') ORDER BY id""")
_FEES_OF = text("""
    SELECT coalesce(sum(l.amount), 0)::bigint FROM invoice_line l JOIN invoice i ON i.id = l.invoice_id
    WHERE l.organisation_id = :organisation_id AND l.subscription_id = :subscription_id AND l.month = :month
        AND l.kind IN ('fixed_fee', 'proration', 'credit') AND i.currency = :currency""")
_BILLED = text("""
    SELECT subscription_id, plan_version_id, sum(quantity)::bigint AS quantity, sum(amount)::bigint AS amount,
        max(metered_total) AS metered_total, max(upper(during)) FILTER (WHERE kind = 'usage') AS until
    FROM invoice_line WHERE organisation_id = :organisation_id AND month = :month AND kind IN ('usage', 'adjustment')
    GROUP BY subscription_id, plan_version_id""")
_ALL = text("SELECT * FROM invoice WHERE status <> 'draft' ORDER BY id")
_OVERDUE = text("""
    SELECT i.organisation_id FROM invoice i LEFT JOIN billing_account a USING (organisation_id)
    WHERE i.status = 'open' AND i.issued_at < :issued_before AND a.standing IS DISTINCT FROM 'past_due'
    ORDER BY i.issued_at LIMIT 1""")
_HAS_OVERDUE = text("""
    SELECT EXISTS (SELECT 1 FROM invoice
        WHERE organisation_id = :organisation_id AND status = 'open' AND issued_at < :issued_before)""")


async def insert_if_absent(session: AsyncSession, invoice: Invoice) -> bool:
    """The draft and its lines are stored; False, and nothing stored, when this cut-off has one in this currency."""
    values = {
        "id": invoice.id, "version": invoice.version, "run_id": invoice.run_id,
        "organisation_id": invoice.organisation_id, "currency": invoice.currency, "until": invoice.until,
        "status": invoice.status, "total": invoice.total, "created_at": invoice.created_at,
    }  # fmt: skip
    if await session.scalar(_INSERT, values) is None:
        return False
    await session.execute(_INSERT_LINE, [_line_values(invoice, line) for line in invoice.lines])
    return True


async def get(session: AsyncSession, invoice_id: UUID) -> Invoice:
    """The invoice with its lines; InvoiceNotFound."""
    return await _read_one(session, _GET, {"id": invoice_id})


async def lock(session: AsyncSession, invoice_id: UUID) -> Invoice:
    """The same, and nobody else changes it until this transaction ends."""
    return await _read_one(session, _LOCK, {"id": invoice_id})


async def list_of(
    session: AsyncSession, organisation_id: UUID, *, after: UUID | None, limit: int
) -> list[Invoice]:
    """Issued invoices of an organisation, the newest first, with their lines."""
    values = {"organisation_id": organisation_id, "after": after, "limit": limit}
    return await _with_lines(session, list((await session.execute(_LIST, values)).all()))


async def all_issued(session: AsyncSession) -> list[Invoice]:
    """Every invoice that was issued, with its lines: for reconciliation and republishing."""
    return await _with_lines(session, list((await session.execute(_ALL)).all()))


async def claim_draft(session: AsyncSession) -> Invoice | None:
    """The oldest draft that nobody has, locked."""
    row = (await session.execute(_CLAIM_DRAFT)).first()
    return None if row is None else (await _with_lines(session, [row]))[0]


async def next_number(session: AsyncSession, *, seller: str) -> int:
    """The seller's next number: taken for good when this transaction commits, and not at all when it does not."""
    return int(await session.scalar(_NEXT_NUMBER, {"seller": seller}) or 0)


async def save(session: AsyncSession, invoice: Invoice) -> None:
    """The next version of an invoice that this transaction has locked."""
    names = ("id", "version", "status", "number", "issued_at", "paid_at", "closed_at")
    await session.execute(_SAVE, {name: getattr(invoice, name) for name in names})


async def billed_fees(session: AsyncSession, organisation_id: UUID) -> list[FeeLine]:
    """Fixed fees, prorations and credits of all time."""
    return [
        FeeLine(
            row.id,
            LineKind(row.kind),
            row.subscription_id,
            row.plan_version_id,
            _period(row.during),
            row.series,
        )
        for row in await session.execute(_FEES, {"organisation_id": organisation_id})
    ]


async def fees_of(
    session: AsyncSession, organisation_id: UUID, *, subscription_id: UUID, month: Period, currency: str
) -> int:
    """What stands on invoices as a subscription's fixed fees of a month, credits taken off; in minor units."""
    names = {"organisation_id": organisation_id, "subscription_id": subscription_id, "currency": currency}
    return int(await session.scalar(_FEES_OF, names | {"month": month.start.date()}) or 0)


async def billed_usage(
    session: AsyncSession, organisation_id: UUID, month: Period
) -> dict[tuple[UUID, UUID], UsageBilled]:
    """What stands on invoices for a month's usage, by subscription and plan version."""
    names = {"organisation_id": organisation_id, "month": month.start.date()}
    return {
        (row.subscription_id, row.plan_version_id): UsageBilled(
            row.quantity, row.amount, row.metered_total or 0, row.until
        )
        for row in await session.execute(_BILLED, names)
    }


async def find_overdue_debtor(session: AsyncSession, *, issued_before: datetime) -> UUID | None:
    """An organisation in good standing with an open invoice issued before that."""
    found: UUID | None = await session.scalar(_OVERDUE, {"issued_before": issued_before})
    return found


async def has_overdue(session: AsyncSession, organisation_id: UUID, *, issued_before: datetime) -> bool:
    """The organisation has an open invoice issued before that."""
    names = {"organisation_id": organisation_id, "issued_before": issued_before}
    return bool(await session.scalar(_HAS_OVERDUE, names))


async def _read_one(session: AsyncSession, query: Any, names: dict[str, Any]) -> Invoice:
    row = (await session.execute(query, names)).first()
    if row is None:
        raise InvoiceNotFound("There is no such invoice of your organisation.")
    return (await _with_lines(session, [row]))[0]


async def _with_lines(session: AsyncSession, rows: Sequence[Row[Any]]) -> list[Invoice]:
    lines: dict[UUID, list[Line]] = {}
    currencies = {row.id: row.currency for row in rows}
    for row in await session.execute(_LINES, {"ids": list(currencies)}):
        lines.setdefault(row.invoice_id, []).append(_line(row, currencies[row.invoice_id]))
    return [_invoice(row, lines.get(row.id, [])) for row in rows]


def _invoice(row: Row[Any], lines: Sequence[Line]) -> Invoice:
    return Invoice(
        id=row.id, version=row.version, organisation_id=row.organisation_id, currency=row.currency, until=row.until,
        status=InvoiceStatus(row.status), total=row.total, created_at=row.created_at, run_id=row.run_id,
        number=row.number, issued_at=row.issued_at, paid_at=row.paid_at, closed_at=row.closed_at,
        stripe_invoice_id=row.stripe_invoice_id, lines=tuple(lines),
    )  # fmt: skip


def _line(row: Row[Any], currency: str) -> Line:
    draft = LineDraft(
        kind=LineKind(row.kind), subscription_id=row.subscription_id,
        provider_organisation_id=row.provider_organisation_id, api_id=row.api_id,
        plan_version_id=row.plan_version_id, currency=currency, description=row.description, during=_period(row.during),
        month=datetime.combine(row.month, time(), UTC), quantity=row.quantity, unit_price=row.unit_price,
        amount=row.amount, trace=tuple(row.trace), series=row.series, metered_total=row.metered_total,
    )  # fmt: skip
    return Line(id=row.id, position=row.position, draft=draft, fee=row.fee)


def _line_values(invoice: Invoice, line: Line) -> dict[str, Any]:
    draft = line.draft
    copied = (
        "provider_organisation_id", "subscription_id", "plan_version_id", "api_id", "kind", "series", "description",
        "quantity", "unit_price", "amount", "metered_total",
    )  # fmt: skip
    return {name: getattr(draft, name) for name in copied} | {
        "id": line.id, "invoice_id": invoice.id, "position": line.position, "fee": line.fee,
        "organisation_id": invoice.organisation_id, "start": draft.during.start, "end": draft.during.end,
        "month": draft.month.date(), "trace": json.dumps(draft.trace),
    }  # fmt: skip


def _period(value: Range) -> Period:
    return Period(value.lower, value.upper)
