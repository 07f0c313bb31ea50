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


async def start_payout(session: AsyncSession, *, minimum: int, now: datetime) -> bool:
    """All that is available to one provider whose account takes payouts is set aside to be sent. False: there is none.

    Set aside in the ledger before Stripe is asked: the same money cannot be sent twice. Without an account it stays.
    """
    for found in await ledger.payable(session, minimum=minimum):
        owner, currency = found.organisation_id, found.currency
        if await payouts.is_held_back(session, owner, currency, since=now - _HOLD_BACK):
            continue
        await accounts.lock(session, owner)
        amount = await ledger.available_of(session, owner, currency)  # once more, under the lock
        payout = Payout(new_id(), owner, currency, amount, "started", now)
        if amount >= minimum and await payouts.insert(session, payout):
            await ledger.post(session, transfer_started(payout.id, owner, currency, amount), now=now)
            log.info("payout.started", payout_id=payout.id, organisation_id=owner, amount=amount)
            return True
    return False
