"""Measure APIs for the catalogue, and publish what changed."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from metering.db import api_statistics
from metering.db.api_statistics import Measured, next_renewal
from metering.domain.statistics import DAYS, Figures
from metering.events.api_measured import ApiMeasured

_MOST = 50


async def publish_statistics(session: AsyncSession, *, wait: timedelta, now: datetime) -> int:
    """APIs that changed at least `wait` ago, or whose day is over, are measured; different figures are in the outbox.

    How many were measured (0: none is due). So an API is published at most once in `wait`, and a change is seen then.
    """
    before = now - wait
    due = await api_statistics.claim_due(session, changed_before=before, now=now, limit=_MOST)
    if not due:
        return 0
    found = await api_statistics.measure(session, [known.api_id for known in due], now=now)
    for known in due:
        figures = found.get(known.api_id, Figures())
        changed = known.version == 0 or figures != known.figures
        measured = (
            Measured(known.api_id, figures, now, known.version + 1, known.version + 1) if changed else known
        )
        if measured.version > known.published_version:
            await outbox.publish(session, _event(measured, now), now=now)
        renew = next_renewal(figures, now=now)
        await api_statistics.put(session, measured, changed_before=before, renew_at=renew, now=now)
    return len(due)


def _event(measured: Measured, now: datetime) -> ApiMeasured:
    figures = measured.figures
    return ApiMeasured(
        version=measured.version, api_id=measured.api_id, days=DAYS, calls=figures.calls,
        subscribers=figures.subscribers, latency_ms_p50=figures.latency_ms_p50, latency_ms_p95=figures.latency_ms_p95,
        uptime_percent=None if figures.uptime_percent is None else str(figures.uptime_percent),
        measured_at=measured.measured_at or now,
    )  # fmt: skip
