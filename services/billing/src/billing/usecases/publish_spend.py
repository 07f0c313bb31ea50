"""Say what a month's usage costs so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import invoices, spend, subscriptions, switch, usage
from billing.db.spend import Spend
from billing.domain.fees import fee_lines
from billing.domain.period import Period, month_of
from billing.domain.subscription import SoldSubscription
from billing.domain.usage import spent
from billing.events.spend_changed import SpendChanged
from common import outbox


async def publish_spend(session: AsyncSession, *, now: datetime) -> bool:
    """The months of one organisation that are due were rated, and what changed is announced; False: none was due.

    Fixed fees are those on invoices and those that a cut-off at this moment would add. Usage that is never invoiced,
    for billing was off, costs nothing. Usage before its terms says nothing yet.
    """
    due = await spend.claim_due(session)
    if not due:
        return False
    sold = await subscriptions.all_of(session, due[0].organisation_id)
    since = await switch.since(session)
    for before in due:
        month = month_of(datetime.combine(before.month, time(), UTC))
        totals = await usage.so_far(session, before.organisation_id, month)
        cost = spent(month, min(now, month.end), sold, totals, before.subscription_id)
        after = before
        if cost is not None:
            currency, used = cost
            fees = await _fees(session, before, sold, month, currency=currency, since=since, now=now)
            is_billed = since is None or month.start >= since
            if is_billed or fees:
                after = replace(before, currency=currency, amount=fees + (used if is_billed else 0))
        if after != before or (before.version == 0 and after.currency):
            after = replace(after, version=before.version + 1)
            names = ("subscription_id", "organisation_id", "month", "currency", "amount", "version")
            event = SpendChanged.model_validate({name: getattr(after, name) for name in names})
            await outbox.publish(session, event, now=now)
        await spend.put(session, after)
    return True


async def _fees(
    session: AsyncSession, of: Spend, sold: Sequence[SoldSubscription], month: Period, *, currency: str,
    since: datetime | None, now: datetime,
) -> int:  # fmt: skip
    """The subscription's fixed fees of the month, in minor units: invoiced, and due by now."""
    billed = await invoices.billed_fees(session, of.organisation_id)
    moment = min(now, month.end - timedelta(microseconds=1))  # the next month's fee is the next month's
    due = [
        line.amount
        for subscription in sold
        if subscription.id == of.subscription_id
        for line in fee_lines(subscription, moment, billed, since=since)
        if line.month == month.start and line.currency == currency
    ]
    invoiced = await invoices.fees_of(
        session, of.organisation_id, subscription_id=of.subscription_id, month=month, currency=currency
    )
    return invoiced + sum(due)
