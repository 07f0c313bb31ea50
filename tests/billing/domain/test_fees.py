from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.domain.fees import fee_lines
from billing.domain.lines import FeeLine, LineDraft, LineKind
from billing.domain.period import Period, months
from billing.domain.proration import prorate
from billing.domain.subscription import SoldSubscription
from tests.billing.factories import LAWS, a_phase, a_sale, an_id, at

OTHER_PLAN = an_id(0xF2)


def invoiced(lines: Sequence[LineDraft], first: int = 1) -> list[FeeLine]:
    return [
        FeeLine(an_id(0x9000 + n), d.kind, d.subscription_id, d.plan_version_id, d.during, d.series)
        for n, d in enumerate(lines, start=first)
    ]


def shown(lines: Sequence[LineDraft]) -> list[tuple[str, datetime, datetime, int]]:
    return [(str(line.kind), line.during.start, line.during.end, line.amount) for line in lines]


def test_the_first_month_is_prorated_and_the_next_one_due_in_advance() -> None:
    assert shown(fee_lines(a_sale(a_phase("11-16")), at("12-01"), [])) == [
        ("fixed_fee", at("11-16"), at("12-01"), 950),
        ("fixed_fee", at("12-01"), at("2027-01-01"), 1900),
    ]


def test_a_cut_inside_the_month_charges_the_started_month_once() -> None:
    sale = a_sale(a_phase("11-16"))
    first = fee_lines(sale, at("11-20"), [])
    assert shown(first) == [("fixed_fee", at("11-16"), at("12-01"), 950)]
    assert fee_lines(sale, at("11-25"), invoiced(first)) == []
    assert shown(fee_lines(sale, at("12-01"), invoiced(first))) == [
        ("fixed_fee", at("12-01"), at("2027-01-01"), 1900)
    ]


def test_nothing_is_due_before_the_start_or_without_a_fee() -> None:
    assert fee_lines(a_sale(a_phase("11-16")), at("11-16"), []) == []
    assert fee_lines(a_sale(a_phase("11-16", fixed_fee=0)), at("12-01"), []) == []
    assert fee_lines(a_sale(started_at=None), at("12-01"), []) == []


def test_a_month_that_has_begun_is_paid_for_and_the_next_one_is_not() -> None:
    sale = a_sale(a_phase("11-01"), canceled_at=at("11-10"))
    assert shown(fee_lines(sale, at("12-01"), [])) == [("fixed_fee", at("11-01"), at("12-01"), 1900)]


def test_canceled_on_the_first_instant_of_a_month_owes_nothing_for_it() -> None:
    sale = a_sale(a_phase("11-01"), canceled_at=at("12-01"))
    assert shown(fee_lines(sale, at("12-01"), [])) == [("fixed_fee", at("11-01"), at("12-01"), 1900)]


def test_the_fee_begins_after_the_trial() -> None:
    sale = a_sale(a_phase("11-01", trial_days=15))
    assert shown(fee_lines(sale, at("11-30"), [])) == [("fixed_fee", at("11-16"), at("12-01"), 950)]


def test_nothing_from_before_billing_was_switched_on() -> None:
    sale = a_sale(a_phase("10-01"))
    assert shown(fee_lines(sale, at("11-20"), [], since=at("11-16"))) == [
        ("fixed_fee", at("11-16"), at("12-01"), 950)
    ]


def test_a_cut_off_that_was_missed_is_made_up_for() -> None:
    assert [line.amount for line in fee_lines(a_sale(a_phase("10-01")), at("12-01"), [])] == [
        1900,
        1900,
        1900,
    ]


def test_a_change_of_plan_before_any_invoice_splits_the_month() -> None:
    sale = a_sale(a_phase("11-01", "11-16"), a_phase("11-16", plan=OTHER_PLAN, fixed_fee=5900))
    assert shown(fee_lines(sale, at("11-20"), [])) == [
        ("fixed_fee", at("11-01"), at("11-16"), 950),
        ("fixed_fee", at("11-16"), at("12-01"), 2950),
    ]


def test_a_change_of_plan_after_the_invoice_credits_the_rest_and_charges_the_new_plan() -> None:
    before = invoiced(fee_lines(a_sale(a_phase("11-01")), at("11-10"), []))
    sale = a_sale(a_phase("11-01", "11-16"), a_phase("11-16", plan=OTHER_PLAN, fixed_fee=5900))
    change = fee_lines(sale, at("11-20"), before)
    assert shown(change) == [
        ("credit", at("11-16"), at("12-01"), -950),
        ("proration", at("11-16"), at("12-01"), 2950),
    ]
    assert fee_lines(sale, at("11-25"), [*before, *invoiced(change, 10)]) == []


def test_a_change_at_the_end_of_the_month_needs_no_correction() -> None:
    sale = a_sale(a_phase("11-01", "12-01"), a_phase("12-01", plan=OTHER_PLAN, fixed_fee=500))
    before = invoiced(fee_lines(a_sale(a_phase("11-01")), at("11-10"), []))
    assert shown(fee_lines(sale, at("12-01"), before)) == [("fixed_fee", at("12-01"), at("2027-01-01"), 500)]


SECONDS = st.integers(0, 61 * 86400)


def _sale(changes: Sequence[tuple[int, int]], upto: datetime) -> SoldSubscription:
    """Started on 1 November, then one plan after the other; only changes before `upto` are known."""
    known = [(at("11-01") + timedelta(seconds=s), fee) for s, fee in changes]
    known = [change for change in known if change[0] < upto]
    phases = [
        a_phase(plan=an_id(0xF00 + n), fixed_fee=fee, start="11-01") for n, (_, fee) in enumerate(known)
    ]
    ends = [moment for moment, _ in known[1:]] + [None]
    return a_sale(
        *(replace(p, start=known[n][0], until=ends[n]) for n, p in enumerate(phases)), started_at=known[0][0]
    )


@LAWS
@given(
    changes=st.lists(
        st.tuples(SECONDS, st.integers(1, 100_000)), min_size=1, max_size=4, unique_by=lambda c: c[0]
    ),
    cuts=st.lists(SECONDS, min_size=1, max_size=5, unique=True),
)
def test_whatever_is_changed_and_cut_off_each_second_is_paid_for_once(
    changes: list[tuple[int, int]], cuts: list[int]
) -> None:
    """The sum of all lines is the fee of the plan in force, second by second, up to rounding of each line."""
    changes = sorted(changes)
    moments = [at("11-01") + timedelta(seconds=s) for s in [*sorted(cuts), 61 * 86400 + 1]]
    billed: list[FeeLine] = []
    total, lines = 0, 0
    for until in moments:
        if until <= at("11-01") + timedelta(seconds=changes[0][0]):
            continue
        new = fee_lines(_sale(changes, until), until, billed)
        billed += invoiced(new, len(billed) + 1)
        total, lines = total + sum(line.amount for line in new), lines + len(new)
    sale = _sale(changes, moments[-1])
    due = sale.paid_time(at("2027-02-01"), since=None)
    fair = [
        prorate(phase.terms.fixed_fee, part=part.intersect(due), whole=month)
        for month in months(due)
        for phase, part in sale.in_force(month)
    ]
    assert abs(total - sum(fair)) <= lines + len(fair)
    _assert_no_second_is_charged_twice(billed)


def _assert_no_second_is_charged_twice(billed: Sequence[FeeLine]) -> None:
    for n, one in enumerate(billed):
        for other in billed[n + 1 :]:
            if (one.kind, one.series) == (other.kind, other.series):
                assert one.during.intersect(other.during).is_empty
    fees = [Period(f.during.start, f.during.end) for f in billed if f.kind is LineKind.FIXED_FEE]
    assert all(a.intersect(b).is_empty for n, a in enumerate(fees) for b in fees[n + 1 :])
