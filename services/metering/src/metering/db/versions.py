"""Versions of what is published as absolute values."""

from __future__ import annotations

from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# Above whatever a standby can lack: a row gets one version a batch, and some batches a second.
_STEP = 1_000_000
_RAISE = (
    *(text(f"UPDATE {table} SET version = version + {_STEP}") for table in ("key_use", "api_statistics")),
    # At zero, nothing of the month has been added yet, and so nothing published.
    text(f"UPDATE month_adjustment SET version = version + {_STEP} WHERE version > 0"),
    text(f"UPDATE subscription_day SET version = version + {_STEP} WHERE day >= :since"),
    text(f"UPDATE quota_state SET version = version + {_STEP} WHERE month >= :since"),
)


async def raise_all(session: AsyncSession, *, since: date) -> None:
    """Every row has a version that was never published: days and quotas from `since` on, adjustments, keys and APIs."""
    for statement in _RAISE:
        await session.execute(statement, {"since": since})
