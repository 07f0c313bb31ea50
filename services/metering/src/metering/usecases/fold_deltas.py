"""Add what batches wrote down to the rollups."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from common.steps import Passed, unwatched
from metering.db import deltas

MOST = 100_000
"""Deltas that are folded in one transaction: some seconds of work, some ten megabytes in PostgreSQL's memory."""


async def fold_deltas(session: AsyncSession, *, limit: int = MOST, passed: Passed = unwatched) -> int:
    """At most `limit` pending deltas are in the rollups instead; how many (0: none is left, or another one folds).

    Safe to end anywhere and to run twice: nothing that is read through the views changes by it.
    """
    if not await deltas.claim(session):
        return 0
    folded = await deltas.fold(session, limit=limit)
    if folded:
        passed("folded")
    return folded
