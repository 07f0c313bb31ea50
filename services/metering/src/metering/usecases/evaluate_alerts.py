"""Look at the alert rules that are due."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from common.ids import new_id
from metering.db import alert_readings, alerts, positions
from metering.domain import alert
from metering.domain.alert import AlertKind, AlertRule, AlertState, Crossing, Reading, Verdict
from metering.events.alert_changed import AlertChanged
from metering.metrics import ALERTS

# Longer than the longest silence that a rule may wait for, with time for what is not counted yet.
_LOOK_BACK = timedelta(days=40)


async def evaluate_alerts(session: AsyncSession, *, topic: str, now: datetime, limit: int) -> int:
    """At most `limit` due rules are judged by their present values, and what that means is announced; how many were.

    Rule and verdict are one transaction with the rule's row locked, and a crossing is a unique row: two workers, or one
    that is killed and begins again, announce it once.
    """
    rules = await alerts.claim_due(session, now=now, limit=limit)
    as_of = await positions.as_of(session, topic) if rules else None
    for rule in rules:
        last = await alerts.latest_crossing(session, rule.id)
        for reading in await _readings(session, rule, now=now, as_of=as_of):
            last = await _act(session, rule, reading, last, now=now)
        last = await _tell_after_silence(session, rule, last, now=now)
        await alerts.look_again(session, rule.id, alert.next_look(rule, last, now=now, as_of=as_of))
    return len(rules)


async def _readings(
    session: AsyncSession, rule: AlertRule, *, now: datetime, as_of: datetime | None
) -> list[Reading]:
    if rule.kind is AlertKind.NO_TRAFFIC:
        return [await _silence(session, rule, now=now, as_of=as_of)]
    starts = alert.periods_to_read(rule, now)
    if rule.kind in (AlertKind.QUOTA_SHARE, AlertKind.SPEND):
        return [await _month(session, rule, start) for start in starts]
    return [
        alert.measured(rule, await alert_readings.usage(session, rule, start=start), start=start, as_of=as_of)
        for start in starts
    ]


async def _month(session: AsyncSession, rule: AlertRule, start: datetime) -> Reading:
    assert rule.subscription_id is not None  # noqa: S101 - alert.check
    if rule.kind is AlertKind.QUOTA_SHARE:
        used, quota = await alert_readings.quota(session, rule.subscription_id, month=start.date())
        return alert.quota_share(used, quota, start=start)
    amount, currency = await alert_readings.spend(session, rule.subscription_id, month=start.date()) or (
        0,
        "",
    )
    return alert.spent(amount, currency, start=start)


async def _silence(
    session: AsyncSession, rule: AlertRule, *, now: datetime, as_of: datetime | None
) -> Reading:
    if not await alert_readings.is_running(session, rule.subscription_id):
        return Reading(alert.period_start(rule.period, now), None, "hours", complete=True)
    last_hour = await alert_readings.last_hour_with_calls(session, rule, since=now - _LOOK_BACK)
    return alert.silence(rule, last_hour, now=now, as_of=as_of)


async def _act(
    session: AsyncSession, rule: AlertRule, reading: Reading, last: Crossing | None, *, now: datetime
) -> Crossing | None:
    verdict = alert.judge(rule, reading, last)
    if verdict is Verdict.RESOLVE and last is not None:
        silenced = rule.is_silent(now) or not last.announced or not rule.watches
        resolved = replace(
            last, resolved_at=now, resolved_value=reading.value, silenced=silenced, version=last.version + 1
        )
        await alerts.change_crossing(session, resolved)
        await _announce(session, rule, resolved, AlertState.RESOLVED, now=now)
        # A changed threshold ends what the old one said; the value may be above the new one, too.
        last = resolved
        verdict = alert.judge(rule, reading, last)
    if verdict is not Verdict.FIRE or reading.value is None:
        return last
    silenced = rule.is_silent(now)
    crossing = Crossing(
        id=new_id(), rule_id=rule.id, organisation_id=rule.organisation_id, period_start=reading.period_start,
        threshold=rule.threshold, value=reading.value, unit=reading.unit, fired_at=now, resolved_at=None,
        resolved_value=None, announced=not silenced, silenced=silenced, version=1,
    )  # fmt: skip
    if not await alerts.fire(session, crossing):
        return last
    await _announce(session, rule, crossing, AlertState.FIRING, now=now)
    return crossing


async def _tell_after_silence(
    session: AsyncSession, rule: AlertRule, last: Crossing | None, *, now: datetime
) -> Crossing | None:
    """What began while the rule was silent and lasts is told when the silence ends."""
    if last is None or last.resolved_at is not None or last.announced or rule.is_silent(now):
        return last
    told = replace(last, announced=True, silenced=False, version=last.version + 1)
    await alerts.change_crossing(session, told)
    await _announce(session, rule, told, AlertState.FIRING, now=now)
    return told


async def _announce(
    session: AsyncSession, rule: AlertRule, crossing: Crossing, state: AlertState, *, now: datetime
) -> None:
    await outbox.publish(session, AlertChanged.of(rule, crossing, state=state, at=now), now=now)
    ALERTS.labels(rule.kind, state).inc()
