"""Send the message that waits longest."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from accounts.clients.smtp import Letter, MailRefused, MailUnavailable
from accounts.db import notifications
from accounts.domain.notification import LEASE, Outcome, gives_up, next_attempt
from accounts.metrics import MAILS
from common.log import get_logger

if TYPE_CHECKING:
    from accounts.clients.smtp import Mailer
    from accounts.db.notifications import Claimed
    from common.clock import Clock
    from common.db import Database

log = get_logger()


async def send_next_notification(db: Database, mailer: Mailer, clock: Clock) -> bool:
    """One message was sent or given up; False when none was due, or one was put off: the mail server wants a pause.

    A crash between the server's word and ours sends it again, with the same Message-ID: by it a mailbox knows a repeat.
    """
    now = clock.now()
    async with db.begin() as session:
        claimed = await notifications.claim(session, now=now, leased_until=now + LEASE)
    if claimed is None:
        return False
    outcome = await _deliver(mailer, claimed, clock)
    now = clock.now()
    async with db.begin() as session:
        if outcome is None:
            jitter = random.random()  # noqa: S311 - jitter
            due_at = next_attempt(claimed.attempts, jitter=jitter, now=now)
            await notifications.try_again(session, claimed.id, due_at=due_at)
        else:
            await notifications.end(session, claimed.id, outcome, now=now)
    MAILS.labels(outcome or "put_off").inc()
    return outcome is not None


async def _deliver(mailer: Mailer, claimed: Claimed, clock: Clock) -> Outcome | None:
    now = clock.now()
    if claimed.address is None:
        return Outcome.UNWANTED
    if gives_up(claimed.attempts - 1, created_at=claimed.created_at, now=now):
        log.warning("notification.expired", notification_id=str(claimed.id), attempts=claimed.attempts - 1)
        return Outcome.EXPIRED
    letter = Letter(claimed.id, claimed.address, claimed.subject, claimed.body, claimed.created_at)
    try:
        await mailer.send(letter)
    except MailRefused as error:
        log.warning("notification.refused", notification_id=str(claimed.id), reason=error.reason)
        return Outcome.REFUSED
    except MailUnavailable as error:
        log.warning("notification.put_off", notification_id=str(claimed.id), reason=error.reason)
        return None
    return Outcome.SENT
