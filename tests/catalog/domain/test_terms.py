from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.domain.errors import BadTerms
from catalog.domain.terms import (
    Allowance,
    PriceModel,
    RateLimits,
    Terms,
    Tier,
    UsagePrice,
    checked_terms,
    default_allowance,
    plain,
)
from tests.catalog.factories import some_terms


def graduated(*tiers: Tier) -> Terms:
    return some_terms(usage_price=UsagePrice(PriceModel.GRADUATED, tiers=tiers))


@pytest.mark.parametrize(
    "price",
    [
        UsagePrice(),
        UsagePrice(PriceModel.PER_UNIT, unit_price=Decimal("0.0001")),
        UsagePrice(PriceModel.PER_UNIT, unit_price=Decimal(0)),
        UsagePrice(PriceModel.PACKAGE, package_size=1000, package_price=500),
        UsagePrice(PriceModel.GRADUATED, tiers=(Tier(None, Decimal(1)),)),
        UsagePrice(PriceModel.VOLUME, tiers=(Tier(10, Decimal(1), 5), Tier(None, Decimal("0.5")))),
    ],
)
def test_every_price_model_has_a_sound_form(price: UsagePrice) -> None:
    terms = some_terms(usage_price=price)
    assert checked_terms(terms) is terms


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"billing_period": "yearly"}, "billing_period"),
        ({"fixed_fee": -1}, "fixed_fee"),
        ({"fixed_fee": 10**12}, "fixed_fee"),
        ({"included_requests": -1}, "included_requests"),
        ({"trial_days": 366}, "trial_days"),
        ({"units_header": "content-length"}, "units_header"),
        ({"units_header": "x-marketplace-units"}, "units_header"),
        ({"units_header": "x tokens"}, "units_header"),
        ({"units_header": "X-Tokens"}, "units_header"),
        ({"units_cap": 10}, "units_cap"),  # of what no header reports
        ({"units_cap": 0, "units_header": "x-rows"}, "units_cap"),
        ({"counted_statuses": ("5xx",)}, "counted_statuses"),
        ({"counted_statuses": ("200", "2x")}, "counted_statuses"),
        ({"counted_statuses": ("2xx",) * 21}, "counted_statuses"),
        ({"quota": 0}, "quota"),
        ({"included_requests": 100, "quota": 99}, "quota"),
    ],
)
def test_a_broken_rule_names_its_field(overrides: dict[str, Any], field: str) -> None:
    with pytest.raises(BadTerms) as refused:
        checked_terms(some_terms(**overrides))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("price", "field"),
    [
        (UsagePrice(PriceModel.FLAT, unit_price=Decimal(1)), "usage_price.unit_price"),
        (UsagePrice(PriceModel.PER_UNIT), "usage_price.unit_price"),
        (UsagePrice(PriceModel.PER_UNIT, unit_price=Decimal(-1)), "usage_price.unit_price"),
        (UsagePrice(PriceModel.PER_UNIT, unit_price=Decimal("NaN")), "usage_price.unit_price"),
        (UsagePrice(PriceModel.PER_UNIT, unit_price=Decimal("Infinity")), "usage_price.unit_price"),
        (UsagePrice(PriceModel.PER_UNIT, unit_price=Decimal("1e-13")), "usage_price.unit_price"),
        (UsagePrice(PriceModel.PACKAGE, package_size=10), "usage_price.package_price"),
        (UsagePrice(PriceModel.PACKAGE, package_size=0, package_price=1), "usage_price.package_size"),
        (UsagePrice(PriceModel.GRADUATED), "usage_price.tiers"),
        (UsagePrice(PriceModel.PER_UNIT, Decimal(1), tiers=(Tier(None, Decimal(1)),)), "usage_price.tiers"),
    ],
)
def test_a_price_has_the_fields_of_its_model_and_no_others(price: UsagePrice, field: str) -> None:
    with pytest.raises(BadTerms) as refused:
        checked_terms(some_terms(usage_price=price))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("tiers", "field"),
    [
        ([Tier(10, Decimal(1))], "usage_price.tiers.0.up_to"),
        ([Tier(None, Decimal(1)), Tier(None, Decimal(1))], "usage_price.tiers.0.up_to"),
        ([Tier(10, Decimal(1)), Tier(10, Decimal(1)), Tier(None, Decimal(1))], "usage_price.tiers.1.up_to"),
        ([Tier(20, Decimal(1)), Tier(10, Decimal(1)), Tier(None, Decimal(1))], "usage_price.tiers.1.up_to"),
        ([Tier(0, Decimal(1)), Tier(None, Decimal(1))], "usage_price.tiers.0.up_to"),
        ([Tier(10, Decimal(1)), Tier(None, Decimal(-1))], "usage_price.tiers.1.unit_price"),
        ([Tier(10, Decimal(1), -5), Tier(None, Decimal(1))], "usage_price.tiers.0.flat_fee"),
    ],
)
def test_tiers_ascend_and_the_last_one_is_open(tiers: list[Tier], field: str) -> None:
    with pytest.raises(BadTerms) as refused:
        checked_terms(graduated(*tiers))
    assert refused.value.field == field


def test_there_are_not_more_tiers_than_anybody_needs() -> None:
    tiers = [Tier(n, Decimal(1)) for n in range(1, 51)]
    with pytest.raises(BadTerms):
        checked_terms(graduated(*tiers, Tier(None, Decimal(1))))


@pytest.mark.parametrize(
    "limits",
    [RateLimits(), RateLimits(1, 1, 1, 1), RateLimits(second=5, day=5), RateLimits(minute=10, hour=600)],
)
def test_a_longer_window_allows_at_least_as_much(limits: RateLimits) -> None:
    checked_terms(some_terms(rate_limits=limits))


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (RateLimits(second=10, minute=9), "rate_limits.minute"),
        (RateLimits(second=10, day=9), "rate_limits.day"),
        (RateLimits(minute=60, hour=59), "rate_limits.hour"),
        (RateLimits(second=0), "rate_limits.second"),
    ],
)
def test_a_longer_window_never_allows_less(limits: RateLimits, field: str) -> None:
    with pytest.raises(BadTerms) as refused:
        checked_terms(some_terms(rate_limits=limits))
    assert refused.value.field == field


def test_free_plans_include_everything_from_the_first_day() -> None:
    assert (default_allowance(0), default_allowance(1)) == (Allowance.FULL, Allowance.PRORATED)


def test_the_wire_form_carries_decimals_as_text_and_only_the_fields_of_the_model() -> None:
    wire = some_terms(usage_price=UsagePrice(PriceModel.PER_UNIT, unit_price=Decimal("0.50"))).to_wire()
    assert wire["usage_price"] == {"model": "per_unit", "unit_price": "0.5"}
    assert wire["rate_limits"] == {"second": 10, "minute": 100, "hour": None, "day": None}
    assert some_terms(usage_price=UsagePrice()).to_wire()["usage_price"] == {"model": "flat"}


def test_terms_with_equal_prices_are_equal_however_they_are_written() -> None:
    half, fifty = Decimal("0.5"), Decimal("0.50")
    assert graduated(Tier(None, half)) == graduated(Tier(None, fifty))
    assert replace(some_terms(), name="Other") != some_terms()


@given(st.decimals(min_value=0, max_value=10**9, places=12))
def test_a_price_as_text_is_the_same_price_without_an_exponent(price: Decimal) -> None:
    text = plain(price)
    assert Decimal(text) == price
    assert "E" not in text.upper()
