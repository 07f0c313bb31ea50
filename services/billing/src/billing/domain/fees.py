"""Fixed fees: which seconds of which month are due, given what stands on invoices already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from billing.domain.lines import FeeLine, LineDraft, LineKind
from billing.domain.period import Period, month_of, months
from billing.domain.proration import prorate
from billing.domain.subscription import Phase, SoldSubscription


def fee_lines(
    subscription: SoldSubscription,
    until: datetime,
    billed: Sequence[FeeLine],
    *,
    since: datetime | None = None,
) -> list[LineDraft]:
    """The fees due at a cut-off at `until`, in advance to the end of the month that `until` lies in.

    Only what no line covers is charged. Where the plan changed inside a time that was paid for, the rest of the old
    fee is credited and the new one charged, each by the second. `since`: nothing before that instant is billed.
    """
    if subscription.started_at is None or subscription.started_at >= until:
        return []
    due = subscription.paid_time(month_of(until).end, since=since)
    mine = [line for line in billed if line.subscription_id == subscription.id]
    drafts: list[LineDraft] = []
    for month in months(due):
        for phase, part in subscription.in_force(month):
            wanted = part.intersect(due)
            if not wanted.is_empty:
                drafts += _settle(subscription, phase, month, wanted, mine)
    return drafts


def _settle(
    subscription: SoldSubscription, phase: Phase, month: Period, wanted: Period, billed: Sequence[FeeLine]
) -> list[LineDraft]:
    """What `wanted` still needs: credits for what was charged on other terms, charges for what nothing pays for."""
    drafts = []
    charges = [line for line in billed if line.kind is not LineKind.CREDIT]
    own: list[Period] = []
    for line in charges:
        left = _without(line.during.intersect(wanted), _credits(line, billed))
        if line.plan_version_id == phase.plan_version_id:
            own += left
        else:
            drafts += [_credit(subscription, line, month, part) for part in left]
    originals = [line.during for line in charges if line.kind is LineKind.FIXED_FEE]
    for part in _without(wanted, own):
        for fresh in _without(part, originals):
            drafts.append(_charge(subscription, phase, month, fresh, LineKind.FIXED_FEE))
        for seen in originals:
            changed = part.intersect(seen)
            if not changed.is_empty:
                drafts.append(_charge(subscription, phase, month, changed, LineKind.PRORATION))
    return [draft for draft in drafts if draft.amount != 0]


def _credits(line: FeeLine, billed: Sequence[FeeLine]) -> list[Period]:
    return [
        other.during for other in billed if other.kind is LineKind.CREDIT and other.series == str(line.id)
    ]


def _without(period: Period, taken: Sequence[Period]) -> list[Period]:
    parts = [] if period.is_empty else [period]
    for other in taken:
        parts = [rest for part in parts for rest in part.minus(other)]
    return parts


def _charge(
    subscription: SoldSubscription, phase: Phase, month: Period, part: Period, kind: LineKind
) -> LineDraft:
    amount = prorate(phase.terms.fixed_fee, part=part, whole=month)
    series = "" if kind is LineKind.FIXED_FEE else _series(phase)
    return _line(subscription, phase, month, part, kind=kind, amount=amount, series=series)


def _credit(subscription: SoldSubscription, line: FeeLine, month: Period, part: Period) -> LineDraft:
    charged = next(p for p in subscription.phases if p.plan_version_id == line.plan_version_id)
    amount = -prorate(charged.terms.fixed_fee, part=part, whole=month)
    return _line(subscription, charged, month, part, kind=LineKind.CREDIT, amount=amount, series=str(line.id))


def _series(phase: Phase) -> str:
    return f"{phase.plan_version_id}@{phase.start.isoformat()}"


def _line(
    subscription: SoldSubscription,
    phase: Phase,
    month: Period,
    part: Period,
    *,
    kind: LineKind,
    amount: int,
    series: str,
) -> LineDraft:
    trace: dict[str, Any] = {
        "step": "fixed_fee",
        "plan": phase.terms.name,
        "fixed_fee": phase.terms.fixed_fee,
        "from": part.start.isoformat(),
        "until": part.end.isoformat(),
        "microseconds": part.microseconds,
        "month_microseconds": month.microseconds,
        "amount": amount,
    }
    words = {LineKind.FIXED_FEE: "fixed fee", LineKind.PRORATION: "fixed fee after change of plan"}
    return LineDraft(
        kind=kind,
        subscription_id=subscription.id,
        provider_organisation_id=subscription.provider_organisation_id,
        api_id=subscription.api_id,
        plan_version_id=phase.plan_version_id,
        currency=phase.terms.currency,
        description=f"{subscription.api_slug}, {phase.terms.name}: {words.get(kind, 'unused time of the former plan')}",
        during=part,
        month=month.start,
        quantity=1,
        unit_price=str(phase.terms.fixed_fee),
        amount=amount,
        trace=(trace,),
        series=series,
    )
