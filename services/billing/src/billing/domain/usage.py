"""Usage of one organisation and month, rated on the terms as sold, less what stands on invoices already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.domain.lines import LineDraft, LineKind, UsageBilled, UsageTotal
from billing.domain.period import Period, billed_month, closes_month
from billing.domain.pricing import Price, Step, price_of
from billing.domain.proration import allowance
from billing.domain.subscription import Phase, SoldSubscription, by_start
from billing.domain.terms import PriceModel, Terms

Segment = tuple[UUID, UUID]  # subscription and plan version: what metering counts by
_NOTHING = UsageBilled(quantity=0, amount=0, metered_total=0, until=None)


@dataclass(frozen=True, slots=True)
class RatedUsage:
    """The lines of a month, and the segments that this cut-off may not price (volume inside a month)."""

    lines: tuple[LineDraft, ...]
    refused: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class _Rated:
    """One segment priced as a whole: everything so far this month."""

    subscription: SoldSubscription
    plan_version_id: UUID
    terms: Terms
    parts: tuple[Period, ...]
    total: UsageTotal
    within_quota: int
    included: int
    price: Price

    @property
    def overage(self) -> int:
        return max(0, self.within_quota - self.included)


def missing_terms(subscriptions: Sequence[SoldSubscription], totals: Sequence[UsageTotal]) -> list[Segment]:
    """Segments with usage whose terms are not known (yet): they hold the whole close of their organisation."""
    known = {(s.id, p.plan_version_id) for s in subscriptions for p in s.phases}
    found = [(t.subscription_id, t.plan_version_id) for t in totals]
    return [segment for segment in found if segment not in known]


def usage_lines(
    until: datetime,
    subscriptions: Sequence[SoldSubscription],
    totals: Sequence[UsageTotal],
    billed: Mapping[Segment, UsageBilled],
) -> RatedUsage:
    """The month's usage up to a cut-off at `until`: price(all so far) less what was billed.

    A cut-off that lies before one already billed adds nothing. `volume` has no price inside a month.
    """
    month = billed_month(until)
    allowed = closes_month(until)
    refused = (
        []
        if allowed
        else [
            (rated.subscription.id, rated.plan_version_id)
            for rated in _rate(month, until, subscriptions, totals)
            if rated.terms.usage_price.model is PriceModel.VOLUME
        ]
    )
    lines = _open_lines(month, until, subscriptions, totals, billed, without=refused)
    return RatedUsage(tuple(lines), tuple(refused))


def estimated_lines(
    until: datetime,
    subscriptions: Sequence[SoldSubscription],
    totals: Sequence[UsageTotal],
    billed: Mapping[Segment, UsageBilled],
) -> list[LineDraft]:
    """The same to show, never to bill: volume prices as if the month ended now."""
    return _open_lines(billed_month(until), until, subscriptions, totals, billed, without=())


def _open_lines(
    month: Period,
    until: datetime,
    subscriptions: Sequence[SoldSubscription],
    totals: Sequence[UsageTotal],
    billed: Mapping[Segment, UsageBilled],
    *,
    without: Sequence[Segment],
) -> list[LineDraft]:
    lines: list[LineDraft] = []
    for rated in _rate(month, until, subscriptions, totals):
        key = (rated.subscription.id, rated.plan_version_id)
        last = _billed_until(rated.subscription.id, billed)
        if key in without or (last is not None and until <= last):
            continue
        window = Period(max(last or month.start, month.start), until)
        line = _difference(rated, billed.get(key, _NOTHING), month, window, until)
        if line is not None:
            lines.append(line)
    return lines


def spent(
    month: Period,
    until: datetime,
    subscriptions: Sequence[SoldSubscription],
    totals: Sequence[UsageTotal],
    subscription_id: UUID,
) -> tuple[str, int] | None:
    """Currency and price of one subscription's usage of `month` up to `until`; None when nothing can be rated.

    To show, never to bill. After a change of plan into another currency, of the part in the new one.
    """
    rated = [r for r in _rate(month, until, subscriptions, totals) if r.subscription.id == subscription_id]
    if not rated:
        return None
    currency = rated[-1].terms.currency
    return currency, sum(r.price.amount for r in rated if r.terms.currency == currency)


def late_lines(
    month: Period,
    subscriptions: Sequence[SoldSubscription],
    totals: Sequence[UsageTotal],
    billed: Mapping[Segment, UsageBilled],
    *,
    series: str,
) -> tuple[LineDraft, ...]:
    """Adjustments for a closed month whose totals changed since: the new price less what was billed, either way.

    A volume total may fall with one more call, so there the old amount is reversed and the new one billed.
    """
    lines: list[LineDraft] = []
    for rated in _rate(month, month.end, subscriptions, totals):
        before = billed.get((rated.subscription.id, rated.plan_version_id), _NOTHING)
        if before.amount == rated.price.amount and before.quantity == rated.overage:
            continue
        during = _hull(rated.parts, month)
        if rated.terms.usage_price.model is PriceModel.VOLUME and before.amount:
            lines.append(_reversal(rated, month, during=during, before=before, series=f"{series}/reversal"))
            before = _NOTHING
        lines.append(_line(rated, month, LineKind.ADJUSTMENT, during=during, before=before, series=series))
    return tuple(lines)


def _rate(
    month: Period,
    until: datetime,
    subscriptions: Sequence[SoldSubscription],
    totals: Sequence[UsageTotal],
) -> list[_Rated]:
    """Every segment in force or used in `month` before `until`, in order of sale, each priced as a whole."""
    by_segment = {(t.subscription_id, t.plan_version_id): t for t in totals}
    used: dict[UUID, int] = {}
    result = []
    for subscription in by_start(subscriptions):
        segments: dict[UUID, list[Period]] = {}
        for phase, part in subscription.in_force(month):
            segments.setdefault(phase.plan_version_id, []).append(part)
        for phase in _used_outside(subscription, segments, by_segment):
            segments[phase.plan_version_id] = []
        for plan_version_id, parts in segments.items():
            terms = subscription.terms_of(plan_version_id)
            total = by_segment.get((subscription.id, plan_version_id))
            if terms is None or (total is None and (not parts or parts[0].start >= until)):
                continue
            total = total or _no_usage(subscription, plan_version_id)
            before = used.get(subscription.api_id, 0)
            time = sum(part.microseconds for part in parts)
            included = allowance(terms, microseconds=time, whole=month, used_before=before)
            within = _within_quota(terms, total.billable_calls, used_before=before)
            price = price_of(max(0, within - included), terms.usage_price)
            result.append(
                _Rated(subscription, plan_version_id, terms, tuple(parts), total, within, included, price)
            )
            used[subscription.api_id] = before + total.billable_calls
    return result


def _within_quota(terms: Terms, billable_calls: int, *, used_before: int) -> int:
    """The calls up to the quota, which counts all of the month's calls to the API, under whatever terms."""
    if terms.quota is None:
        return billable_calls
    return min(billable_calls, max(0, terms.quota - used_before))


def _used_outside(
    subscription: SoldSubscription, segments: Mapping[UUID, object], totals: Mapping[Segment, UsageTotal]
) -> list[Phase]:
    """Phases with calls in a month in which they were not in force any more: a stop takes a moment to arrive."""
    return [
        phase
        for phase in subscription.phases
        if phase.plan_version_id not in segments and (subscription.id, phase.plan_version_id) in totals
    ]


def _no_usage(subscription: SoldSubscription, plan_version_id: UUID) -> UsageTotal:
    return UsageTotal(
        subscription.id, plan_version_id, subscription.api_id, 0, 0, 0, {"step": "metered", "none": True}
    )


def _billed_until(subscription_id: UUID, billed: Mapping[Segment, UsageBilled]) -> datetime | None:
    ends = [b.until for (subscription, _), b in billed.items() if subscription == subscription_id and b.until]
    return max(ends, default=None)


def _difference(
    rated: _Rated, before: UsageBilled, month: Period, window: Period, until: datetime
) -> LineDraft | None:
    quantity, amount = rated.overage - before.quantity, rated.price.amount - before.amount
    grown = rated.total.billable_calls - before.metered_total
    if not (quantity or amount or grown):
        return None
    inside = [part.intersect(window) for part in rated.parts]
    inside = [part for part in inside if not part.is_empty]
    if inside:
        return _line(rated, month, LineKind.USAGE, during=inside[-1], before=before, series="")
    # Its time was billed to the end before: what arrived since is an adjustment of that time.
    during = _hull(rated.parts, month)
    return _line(rated, month, LineKind.ADJUSTMENT, during=during, before=before, series=until.isoformat())


def _hull(parts: Sequence[Period], month: Period) -> Period:
    return Period(parts[0].start, parts[-1].end) if parts else month


def _line(
    rated: _Rated, month: Period, kind: LineKind, *, during: Period, before: UsageBilled, series: str
) -> LineDraft:
    sold = rated.subscription
    word = "usage" if kind is LineKind.USAGE else "usage that arrived late"
    return LineDraft(
        kind=kind,
        subscription_id=sold.id,
        provider_organisation_id=sold.provider_organisation_id,
        api_id=sold.api_id,
        plan_version_id=rated.plan_version_id,
        currency=rated.terms.currency,
        description=f"{sold.api_slug}, {rated.terms.name}: {word} beyond the included requests",
        during=during,
        month=month.start,
        quantity=rated.overage - before.quantity,
        unit_price=_single_price(rated.price),
        amount=rated.price.amount - before.amount,
        trace=_trace(rated, before),
        series=f"{rated.plan_version_id}/{series}" if series else "",
        metered_total=rated.total.billable_calls,
    )


def _reversal(rated: _Rated, month: Period, *, during: Period, before: UsageBilled, series: str) -> LineDraft:
    line = _line(rated, month, LineKind.ADJUSTMENT, during=during, before=before, series=series)
    trace = ({"step": "reversal", "quantity": -before.quantity, "amount": -before.amount},)
    return replace(line, quantity=-before.quantity, amount=-before.amount, unit_price=None, trace=trace)


def _single_price(price: Price) -> str | None:
    """The unit price, when there was only one: tiers have several, and a flat fee makes it an average."""
    used = [step for step in price.steps if step.quantity or step.flat_fee]
    if len(used) == 1 and not used[0].flat_fee and used[0].step != "package":
        return plain(used[0].unit_price)
    return None


def _trace(rated: _Rated, before: UsageBilled) -> tuple[dict[str, Any], ...]:
    """How the amount came about, step by step; every number can be checked by hand."""
    total = rated.total
    metered = {
        **total.source,
        "calls": total.calls,
        "billable_calls": total.billable_calls,
        "units": total.units,
    }
    included = {
        "step": "included",
        "quantity": min(rated.included, rated.within_quota),
        "allowance": rated.included,
    }
    steps = [_step(step) for step in rated.price.steps]
    rounded = {"step": "rounded", "exact": plain(rated.price.exact), "amount": rated.price.amount}
    beyond = total.billable_calls - rated.within_quota
    stopped = [{"step": "beyond_quota", "quantity": beyond, "quota": rated.terms.quota}] if beyond else []
    trace: list[dict[str, Any]] = [metered, *stopped, included, *steps, rounded]
    if before.amount or before.quantity:
        trace.append({"step": "already_billed", "quantity": before.quantity, "amount": before.amount})
    return tuple(trace)


def _step(step: Step) -> dict[str, Any]:
    data: dict[str, Any] = {
        "step": step.step,
        "quantity": step.quantity,
        "unit_price": plain(step.unit_price),
        "amount": plain(step.amount),
    }
    if step.step in ("tier", "volume_tier"):
        data |= {"above": step.above, "up_to": step.up_to, "flat_fee": plain(step.flat_fee)}
    return data


def plain(value: Decimal) -> str:
    """A decimal as people write it: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
