"""Hours of calls that may still come, in a small table that folds add to; what is over is settled in the large ones.

`usage_open_hours` inherits from `usage_records_hourly`: who reads that table reads both. Days and subscriptions' hours
know of an hour from when it is settled; the views of both read the open ones too. Triggers on these two keep what
`db/provider_tables.py` describes.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.adding import DAY, ROOM, added
from metering.domain.rollup import BucketKey, SubscriptionKey

# One statement, for the reason that folding is one: each hour is in one place at any moment.
_SETTLE = text(
    "WITH over AS MATERIALIZED (DELETE FROM usage_open_hours WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM usage_open_hours WHERE hour_start < :before LIMIT :most)) RETURNING *), "
    + ", ".join((
        added("usage_records_hourly", "hour_start", BucketKey._fields, "over", moment="hour_start", summed=False),
        added("usage_records_daily", "day", BucketKey._fields, "over", moment=DAY),
        added("usage_subscription_hourly", "hour_start", SubscriptionKey._fields, "over", moment="hour_start"),
    ))
    + " SELECT count(*) FROM over"
)  # fmt: skip


async def settle(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """At most `limit` rows of open hours that began before `before` are in the large tables instead; how many."""
    await session.execute(ROOM)
    return int((await session.execute(_SETTLE, {"before": before, "most": limit})).scalar_one())
