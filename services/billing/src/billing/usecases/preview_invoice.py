"""What an invoice would say now."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import invoices, subscriptions, switch, usage
from billing.domain.fees import fee_lines
from billing.domain.invoice import by_currency
from billing.domain.lines import LineDraft
from billing.domain.period import billed_month
from billing.domain.usage import estimated_lines


async def preview_invoice(
    session: AsyncSession, organisation_id: UUID, *, now: datetime
) -> dict[str, list[LineDraft]]:
    """The lines that a cut-off at `now` would make, by currency, from usage as far as metering has published it.

    An estimate: usage may still be on its way, and a volume price depends on the whole month.
    """
    sold = await subscriptions.all_of(session, organisation_id)
    since = await switch.since(session)
    fees = await invoices.billed_fees(session, organisation_id)
    month = billed_month(now)
    totals = await usage.so_far(session, organisation_id, month)
    billed = await invoices.billed_usage(session, organisation_id, month)
    lines = [line for s in sold for line in fee_lines(s, now, fees, since=since)]
    if since is None or month.start >= since:
        lines += estimated_lines(now, sold, totals, billed)
    return by_currency(lines)
