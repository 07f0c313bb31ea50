from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.domain.lines import LineDraft, LineKind, UsageBilled
from billing.domain.usage import Segment, estimated_lines, late_lines, missing_terms, usage_lines
from tests.billing.factories import LAWS, NOVEMBER, PLAN, SUBSCRIPTION, a_phase, a_sale, a_total, an_id, at

UPGRADE, SECOND = an_id(0xF2), an_id(0x5C)
VOLUME: dict[str, Any] = {
    "model": "volume",
    "tiers": [{"up_to": 100, "unit_price": "2"}, {"up_to": None, "unit_price": "1"}],
}


def billed(lines: Sequence[LineDraft]) -> dict[Segment, UsageBilled]:
    """What the lines leave behind for the next cut-off."""
    result: dict[Segment, UsageBilled] = {}
    for line in lines:
        key = (line.subscription_id, line.plan_version_id)
        before = result.get(key, UsageBilled(0, 0, 0, None))
        until = line.during.end if line.kind is LineKind.USAGE else before.until
        result[key] = UsageBilled(
            before.quantity + line.quantity, before.amount + line.amount, line.metered_total or 0, until
        )
    return result


def test_only_calls_beyond_the_included_ones_are_charged_and_the_trace_says_how() -> None:
    (line,) = usage_lines(at("12-01"), [a_sale()], [a_total(1350)], {}).lines
    assert (line.kind, line.quantity, line.amount, line.unit_price) == (LineKind.USAGE, 1250, 563, None)
    assert [step["step"] for step in line.trace] == ["metered", "included", "tier", "tier", "rounded"]
    assert line.trace[-1] == {"step": "rounded", "exact": "562.5", "amount": 563}
    assert line.during == NOVEMBER


def test_calls_that_passed_after_the_quota_are_counted_and_never_billed() -> None:
    sale = a_sale(a_phase(quota=1000))
    (line,) = usage_lines(at("12-01"), [sale], [a_total(1350)], {}).lines
    assert (line.quantity, line.amount, line.metered_total) == (900, 450, 1350)
    assert line.trace[1] == {"step": "beyond_quota", "quantity": 350, "quota": 1000}
    later = usage_lines(at("12-01"), [sale], [a_total(1400)], billed([line])).lines
    assert [(line.quantity, line.amount) for line in later] in ([], [(0, 0)])


def test_the_quota_counts_what_was_called_before_an_upgrade() -> None:
    sale = a_sale(a_phase("11-01", "11-16"), a_phase("11-16", plan=UPGRADE, quota=250, included_requests=0))
    totals = [a_total(200), a_total(120, plan=UPGRADE)]
    lines = usage_lines(at("12-01"), [sale], totals, {}).lines
    assert [line.quantity for line in lines] == [100, 50]


def test_one_price_is_shown_as_unit_price() -> None:
    (line,) = usage_lines(at("12-01"), [a_sale()], [a_total(300)], {}).lines
    assert (line.quantity, line.unit_price, line.amount) == (200, "0.5", 100)


def test_a_second_cut_bills_only_the_difference() -> None:
    first = usage_lines(at("11-10"), [a_sale()], [a_total(300)], {}).lines
    second = usage_lines(at("12-01"), [a_sale()], [a_total(1350)], billed(first)).lines
    assert [(line.quantity, line.amount) for line in (*first, *second)] == [(200, 100), (1050, 463)]
    assert (second[0].during.start, second[0].during.end) == (at("11-10"), at("12-01"))
    assert second[0].trace[-1] == {"step": "already_billed", "quantity": 200, "amount": 100}


def test_a_cut_before_one_that_was_billed_adds_nothing() -> None:
    first = usage_lines(at("11-20"), [a_sale()], [a_total(1350)], {}).lines
    assert usage_lines(at("11-10"), [a_sale()], [a_total(300)], billed(first)).lines == ()


def test_volume_refuses_a_cut_inside_a_month_and_is_billed_at_its_end() -> None:
    sale = a_sale(a_phase(usage_price=VOLUME))
    inside = usage_lines(at("11-20"), [sale], [a_total(300)], {})
    assert (inside.lines, inside.refused) == ((), ((SUBSCRIPTION, PLAN),))
    (line,) = usage_lines(at("12-01"), [sale], [a_total(300)], {}).lines
    assert line.amount == 200
    assert [line.amount for line in estimated_lines(at("11-20"), [sale], [a_total(300)], {})] == [200]


def test_an_upgrade_splits_the_month_and_each_part_has_its_own_terms() -> None:
    sale = a_sale(
        a_phase("11-01", "11-16"),
        a_phase(
            "11-16", plan=UPGRADE, included_requests=0, usage_price={"model": "per_unit", "unit_price": "1"}
        ),
    )
    lines = usage_lines(at("12-01"), [sale], [a_total(200), a_total(50, plan=UPGRADE)], {}).lines
    assert [(line.quantity, line.amount, line.during.start) for line in lines] == [
        (100, 50, at("11-01")),
        (50, 50, at("11-16")),
    ]


def test_calls_that_came_after_their_time_was_billed_become_an_adjustment() -> None:
    before = a_sale(a_phase("11-01"))
    first = usage_lines(at("11-20"), [before], [a_total(200)], {}).lines
    sale = a_sale(a_phase("11-01", "11-16"), a_phase("11-16", plan=UPGRADE))
    lines = usage_lines(at("11-25"), [sale], [a_total(300), a_total(0, plan=UPGRADE)], billed(first)).lines
    assert [(line.kind, line.quantity, line.series != "") for line in lines] == [
        (LineKind.ADJUSTMENT, 100, True)
    ]


def test_leaving_and_coming_back_gains_no_second_allowance() -> None:
    again = a_sale(a_phase("11-16"), id=SECOND)
    totals = [a_total(80), a_total(90, subscription=SECOND)]
    lines = usage_lines(at("12-01"), [again, a_sale(canceled_at=at("11-15"))], totals, {}).lines
    assert [(line.subscription_id, line.quantity) for line in lines] == [(SUBSCRIPTION, 0), (SECOND, 70)]


def test_a_flat_fee_of_the_first_tier_is_due_without_any_call() -> None:
    flat = {"model": "graduated", "tiers": [{"up_to": None, "unit_price": "1", "flat_fee": 500}]}
    sale = a_sale(a_phase(usage_price=flat))
    first = usage_lines(at("11-20"), [sale], [], {}).lines
    assert [line.amount for line in first] == [500]
    assert usage_lines(at("12-01"), [sale], [], billed(first)).lines == ()


def test_a_subscription_that_starts_after_the_cut_has_no_line() -> None:
    flat = {"model": "graduated", "tiers": [{"up_to": None, "unit_price": "1", "flat_fee": 500}]}
    assert usage_lines(at("11-20"), [a_sale(a_phase("11-25", usage_price=flat))], [], {}).lines == ()


def test_calls_after_the_end_are_still_billed() -> None:
    sale = a_sale(canceled_at=at("10-31 23:59"), started_at=at("10-01"))
    (line,) = usage_lines(at("12-01"), [sale], [a_total(102)], {}).lines
    assert (line.kind, line.quantity, line.during) == (LineKind.ADJUSTMENT, 2, NOVEMBER)


def test_usage_without_known_terms_is_named() -> None:
    assert missing_terms([a_sale()], [a_total(1), a_total(1, plan=UPGRADE)]) == [(SUBSCRIPTION, UPGRADE)]


def test_late_usage_of_a_closed_month_is_an_adjustment_of_that_month() -> None:
    first = usage_lines(at("12-01"), [a_sale()], [a_total(300)], {}).lines
    (line,) = late_lines(NOVEMBER, [a_sale()], [a_total(310)], billed(first), series="x")
    assert (line.kind, line.quantity, line.amount, line.month) == (LineKind.ADJUSTMENT, 10, 5, NOVEMBER.start)
    assert late_lines(NOVEMBER, [a_sale()], [a_total(310)], billed([*first, line]), series="y") == ()


def test_a_volume_total_that_changed_is_reversed_and_billed_again() -> None:
    sale = a_sale(a_phase(usage_price=VOLUME, included_requests=0))
    first = usage_lines(at("12-01"), [sale], [a_total(100)], {}).lines
    lines = late_lines(NOVEMBER, [sale], [a_total(101)], billed(first), series="x")
    assert [(line.quantity, line.amount) for line in lines] == [(-100, -200), (101, 101)]
    assert len({line.series for line in lines}) == 2


@LAWS
@given(
    counts=st.lists(st.integers(0, 2000), min_size=1, max_size=6),
    included=st.integers(0, 500),
    price=st.decimals(min_value=0, max_value=5, places=4),
)
def test_however_often_a_month_is_cut_the_sum_is_the_price_of_the_whole(
    counts: list[int], included: int, price: Any
) -> None:
    sale = a_sale(
        a_phase(included_requests=included, usage_price={"model": "per_unit", "unit_price": str(price)})
    )
    lines: list[LineDraft] = []
    total = 0
    for day, count in enumerate(counts, start=2):
        total += count
        lines += usage_lines(at(f"11-{day:02}"), [sale], [a_total(total)], billed(lines)).lines
    once = usage_lines(at("12-01"), [sale], [a_total(total)], {}).lines
    assert sum(line.amount for line in lines) == sum(line.amount for line in once)
    assert sum(line.quantity for line in lines) == max(0, total - included)
    used = [line.during for line in lines if line.kind is LineKind.USAGE]
    assert all(a.intersect(b).is_empty for n, a in enumerate(used) for b in used[n + 1 :])
