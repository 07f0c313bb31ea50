from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.pricing import price_of
from billing.domain.terms import PriceModel, Tier, UsagePrice
from tests.billing.factories import LAWS

PRICES = st.decimals(min_value=0, max_value=1000, places=6)


@st.composite
def tiered(draw: st.DrawFn, model: PriceModel) -> UsagePrice:
    bounds = sorted(draw(st.sets(st.integers(1, 10_000), max_size=4)))
    tiers = tuple(Tier(up_to, draw(PRICES), draw(PRICES)) for up_to in [*bounds, None])
    return UsagePrice(model, tiers=tiers)


def graduated(*tiers: tuple[int | None, str, int]) -> UsagePrice:
    return UsagePrice(PriceModel.GRADUATED, tiers=tuple(Tier(u, Decimal(p), Decimal(f)) for u, p, f in tiers))


def test_each_unit_is_priced_at_the_tier_it_falls_in() -> None:
    price = price_of(1250, graduated((1000, "0.5", 0), (None, "0.25", 0)))
    assert price.amount == 563  # 1,000 at half a cent and 250 at a quarter: 562.5, rounded half up once
    assert [(s.quantity, s.above, s.up_to, s.amount) for s in price.steps] == [
        (1000, 0, 1000, Decimal("500.0")),
        (250, 1000, None, Decimal("62.50")),
    ]


def test_the_upper_bound_belongs_to_its_tier() -> None:
    price = graduated((10, "1", 0), (None, "100", 0))
    assert (price_of(10, price).amount, price_of(11, price).amount) == (10, 110)


def test_the_first_flat_fee_is_due_without_usage_and_a_later_one_when_its_tier_is_entered() -> None:
    price = graduated((10, "0", 100), (None, "0", 50))
    assert [price_of(q, price).amount for q in (0, 10, 11)] == [100, 100, 150]


def test_volume_prices_all_units_by_the_tier_reached() -> None:
    price = UsagePrice(PriceModel.VOLUME, tiers=(Tier(100, Decimal(2)), Tier(None, Decimal(1))))
    assert [price_of(q, price).amount for q in (100, 101)] == [200, 101]  # one call more may cost less


def test_packages_are_rounded_up() -> None:
    price = UsagePrice(PriceModel.PACKAGE, package_size=100, package_price=Decimal(500))
    assert [price_of(q, price).amount for q in (0, 1, 100, 101)] == [0, 500, 500, 1000]


def test_a_flat_plan_has_no_usage_price() -> None:
    assert price_of(10**9, UsagePrice(PriceModel.FLAT)).amount == 0


def test_nothing_is_rounded_on_the_way() -> None:
    price = UsagePrice(PriceModel.PER_UNIT, unit_price=Decimal("0.000000001"))
    assert price_of(499_999_999, price).amount == 0
    assert price_of(500_000_000, price).amount == 1


def test_a_negative_quantity_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="negative"):
        price_of(-1, UsagePrice(PriceModel.FLAT))


@LAWS
@given(price=tiered(PriceModel.GRADUATED), a=st.integers(0, 20_000), b=st.integers(0, 20_000))
def test_more_calls_never_cost_less(price: UsagePrice, a: int, b: int) -> None:
    assert price_of(min(a, b), price).amount <= price_of(max(a, b), price).amount


@LAWS
@given(price=tiered(PriceModel.GRADUATED) | tiered(PriceModel.VOLUME), quantity=st.integers(0, 20_000))
def test_the_steps_add_up_to_the_price(price: UsagePrice, quantity: int) -> None:
    result = price_of(quantity, price)
    assert sum((step.amount for step in result.steps), Decimal(0)) == result.exact
    assert sum(step.quantity for step in result.steps) == quantity
    assert abs(result.amount - result.exact) <= Decimal("0.5")


@LAWS
@given(price=tiered(PriceModel.GRADUATED), cuts=st.lists(st.integers(0, 3_000), min_size=1, max_size=6))
def test_cutting_a_month_anywhere_bills_the_same_in_the_end(price: UsagePrice, cuts: list[int]) -> None:
    so_far, billed = 0, 0
    for more in cuts:
        so_far += more
        billed += price_of(so_far, price).amount - billed
    assert billed == price_of(sum(cuts), price).amount
