"""Take what the gateway's nodes have counted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from common.log import get_logger
from metering.db import gateway_counts
from metering.db.gateway_counts import Span
from metering.domain.gateway_counters import Reading, increase
from metering.domain.windows import floor_hour
from metering.metrics import GATEWAY_GAPS

log = get_logger()


async def take_readings(
    session: AsyncSession, readings: Mapping[str, Reading], *, before: datetime, after: datetime
) -> None:
    """What every node counted since its last reading belongs to the open span; these were made in [before, after].

    When it is not known of one node (it restarted, or was not asked before), the span ends with the readings before,
    and the next begins with these: the time in between is a gap of which nothing is said. A span also ends with the
    first reading of an hour, and after a cut-off that waits.
    """
    known = await gateway_counts.last_readings(session)
    grown = {node: increase(known.get(node), reading) for node, reading in readings.items()}
    for node, reading in readings.items():
        await gateway_counts.keep_reading(session, node, reading, grown[node], now=after)
    await gateway_counts.forget_other_nodes(session, list(readings))
    span = await gateway_counts.open_span(session)
    certain = {node: series for node, series in grown.items() if series is not None}
    if span is None or len(certain) < len(readings) or set(known) - set(readings):
        if span is not None:
            GATEWAY_GAPS.inc()
            log.warning("gateway.counters_began_anew", unknown_from=span.until_from, unknown_to=after)
            await gateway_counts.close_span(session, span)
        await gateway_counts.begin_span(session, before=before, after=after)
        return
    await gateway_counts.extend_span(session, span, certain, before=before, after=after)
    if before >= await _boundary(session, span):
        await gateway_counts.close_span(session, Span(span.id, span.began_from, before))
        await gateway_counts.begin_span(session, before=before, after=after)


async def _boundary(session: AsyncSession, span: Span) -> datetime:
    hour = floor_hour(span.began_from) + timedelta(hours=1)
    return min(hour, await gateway_counts.next_cutoff(session, after=span.began_from) or hour)
