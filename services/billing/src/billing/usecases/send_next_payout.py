"""A payout, sent."""

from __future__ import annotations

from datetime import timedelta

from billing.clients.stripe import Stripe, StripeRefused, StripeTransfer
from billing.db import accounts, ledger, payouts
from billing.db.payouts import Payout
from billing.domain.ledger import transfer_refused, transfer_sent
from billing.metrics import PAYOUTS_FINISHED
from billing.usecases.call_stripe import call_stripe
from common.clock import Clock
from common.db import Database
from common.errors import Unavailable
from common.log import get_logger

_LEASE = timedelta(seconds=60)
_LONGEST_WAIT_SECONDS = 900
log = get_logger()


async def send_next_payout(db: Database, stripe: Stripe, clock: Clock) -> bool:
    """One payout that was started is paid, or failed, or will be tried again as the same request. False: none waits."""
    async with db.begin() as session:
        now = clock.now()
        payout = await payouts.claim_started(session, now=now, lease_until=now + _LEASE)
        account = await accounts.find(session, payout.organisation_id) if payout else None
    if payout is None or account is None or account.connect_account_id is None:
        return False
    try:
        transfer = await _transfer(db, stripe, clock, payout, account.connect_account_id)
    except Unavailable as error:
        wait = timedelta(seconds=min(2**payout.failures, _LONGEST_WAIT_SECONDS))
        async with db.begin() as session:
            await payouts.record_failure(session, payout.id, error=str(error), again_at=clock.now() + wait)
        return True
    except StripeRefused as refusal:
        await _finish(db, clock, payout, transfer=None, error=str(refusal))
        return True
    await _finish(db, clock, payout, transfer=transfer, error=None)
    return True


async def _transfer(
    db: Database, stripe: Stripe, clock: Clock, payout: Payout, account_id: str
) -> StripeTransfer:
    async def send(key: str) -> StripeTransfer:
        return await stripe.create_transfer(
            account_id=account_id,
            payout_id=payout.id,
            currency=payout.currency,
            amount=payout.amount,
            key=key,
        )

    async def find() -> StripeTransfer | None:
        return await stripe.find_transfer(payout.id)

    return await call_stripe(
        db, clock, key=f"transfer:{payout.id}", operation="create_transfer", send=send, find=find
    )


async def _finish(
    db: Database, clock: Clock, payout: Payout, *, transfer: StripeTransfer | None, error: str | None
) -> None:
    """Payout and ledger agree, in one transaction."""
    status = "paid" if transfer else "failed"
    booking = transfer_sent if transfer else transfer_refused
    async with db.begin() as session:
        now = clock.now()
        first = await payouts.finish(
            session,
            payout.id,
            status=status,
            transfer_id=transfer.id if transfer else None,
            error=error,
            now=now,
        )
        if first:
            posting = booking(payout.id, payout.organisation_id, payout.currency, payout.amount)
            await ledger.post(session, posting, now=now)
    PAYOUTS_FINISHED.labels(status).inc()
    log.info("payout.finished", payout_id=payout.id, status=status, error=error)
