"""Say what a month's usage costs so far."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import spend, subscriptions, switch, usage
from billing.domain.period import month_of
from billing.domain.usage import spent
from billing.events.spend_changed import SpendChanged
from common import outbox


async def publish_spend(session: AsyncSession, *, now: datetime) -> bool:
    """The months of one organisation that are due were rated, and what changed is announced; False: none was due.

    Usage that is never invoiced, for billing was off, costs nothing. Usage before its terms says nothing yet.
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
        if cost is not None and (since is None or month.start >= since):
            currency, amount = cost
            after = replace(before, currency=currency, amount=amount)
        if after != before or (before.version == 0 and after.currency):
            after = replace(after, version=before.version + 1)
            names = ("subscription_id", "organisation_id", "month", "currency", "amount", "version")
            event = SpendChanged.model_validate({name: getattr(after, name) for name in names})
            await outbox.publish(session, event, now=now)
        await spend.put(session, after)
    return True
