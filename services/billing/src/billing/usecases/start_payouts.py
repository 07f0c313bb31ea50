"""Money on its way to providers."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts, ledger, payouts
from billing.db.payouts import Payout
from billing.domain.ledger import transfer_started
from common.ids import new_id
from common.log import get_logger

# After a refusal (our balance at Stripe may still be on its way) nothing is sent to that provider for a while.
_HOLD_BACK = timedelta(hours=1)
log = get_logger()


async def start_payouts(session: AsyncSession, *, minimum: int, now: datetime) -> int:
    """All that is available to providers whose accounts take payouts is set aside to be sent; how many payouts.

    Set aside in the ledger before Stripe is asked: the same money cannot be sent twice. Without an account it stays.
    """
    started = 0
    for found in await ledger.payable(session, minimum=minimum):
        await accounts.lock(session, found.organisation_id)
        owner, currency = found.organisation_id, found.currency
        amount = await ledger.available_of(session, owner, currency)  # once more, under the lock
        held_back = await payouts.is_held_back(session, owner, currency, since=now - _HOLD_BACK)
        if held_back or amount < minimum:
            continue
        payout = Payout(new_id(), owner, currency, amount, "started", now)
        if await payouts.insert(session, payout):
            await ledger.post(session, transfer_started(payout.id, owner, currency, amount), now=now)
            log.info("payout.started", payout_id=payout.id, organisation_id=owner, amount=amount)
            started += 1
    return started
