"""Say where subscriptions stand against their quotas, when that changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from metering.db import quotas
from metering.db.quotas import QuotaRow, Standing
from metering.domain.quota import QuotaState, overshoot, state_of
from metering.domain.rollup import Counter, QuotaUse
from metering.events.quota_changed import QuotaChanged
from metering.metrics import QUOTA_CHANGES, QUOTA_OVERSHOOT


async def judge_quotas(
    session: AsyncSession, standings: Iterable[Standing], *, now: datetime,
    added: Mapping[Counter, QuotaUse] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Each subscription whose state changed is announced, once: the state last announced is stored in this transaction.

    The caller holds the counters' rows locked, so that two judgements of one counter follow each other. `added` is by
    how much it has just raised them.
    """
    for standing in standings:
        if standing.counter in added:
            units = added[standing.counter].units
            QUOTA_OVERSHOOT.inc(overshoot(standing.used, standing.quota, added=units))
        state = state_of(standing.used, standing.quota)
        was = QuotaState(standing.announced_state or QuotaState.OK)
        new_limit = standing.announced_version is not None and standing.announced_quota != standing.quota
        # An ok that stays ok is no news; a new limit under an announced warning or stop is.
        if state is was and (state is QuotaState.OK or not new_limit):
            continue
        limit = standing.quota if standing.quota is not None else standing.announced_quota or 0
        version = (standing.announced_version or 0) + 1
        row = QuotaRow(standing.subscription_id, standing.month, version, limit, standing.used, state)
        await quotas.put_state(session, row)
        event = QuotaChanged.of(
            subscription_id=row.subscription_id,
            month=row.month,
            version=version,
            limit=limit,
            used=row.used,
            state=state,
        )
        await outbox.publish(session, event, now=now)
        QUOTA_CHANGES.labels(state).inc()
