"""ENABLE_BILLING, remembered."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import switch


async def switch_billing(session: AsyncSession, *, enabled: bool, now: datetime) -> None:
    """Billing is on or off. After it was off, nothing from before `now` is ever billed."""
    await switch.record(session, enabled=enabled, now=now)
