from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from billing.domain.errors import InvalidTerms
from billing.domain.terms import Allowance, PriceModel, read_terms
from tests.billing.factories import terms_json


def test_terms_are_read_as_they_were_sold() -> None:
    terms = read_terms(terms_json())
    assert (terms.fixed_fee, terms.included_requests, terms.currency) == (1900, 100, "EUR")
    assert terms.usage_price.model is PriceModel.GRADUATED
    assert terms.usage_price.tiers[0].unit_price == Decimal("0.5")
    assert terms.first_period_allowance is Allowance.FULL


@pytest.mark.parametrize(
    "wrong",
    [
        {"currency": "eur"},
        {"fixed_fee": -1},
        {"fixed_fee": 19.5},
        {"included_requests": True},
        {"billing_period": "yearly"},
        {"first_period_allowance": "half"},
        {"usage_price": {"model": "barter"}},
        {"usage_price": {"model": "per_unit"}},
        {"usage_price": {"model": "per_unit", "unit_price": 0.5}},
        {"usage_price": {"model": "per_unit", "unit_price": "-1"}},
        {"usage_price": {"model": "per_unit", "unit_price": "NaN"}},
        {"usage_price": {"model": "package", "package_size": 0, "package_price": "1"}},
        {"usage_price": {"model": "graduated", "tiers": []}},
        {"usage_price": {"model": "graduated", "tiers": [{"up_to": 10, "unit_price": "1"}]}},
        {"usage_price": {"model": "volume", "tiers": [{"up_to": None}, {"up_to": None}]}},
        {"usage_price": {"model": "volume", "tiers": [{"up_to": 9}, {"up_to": 9}, {"up_to": None}]}},
    ],
)
def test_terms_that_cannot_be_rated_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidTerms):
        read_terms(terms_json(**wrong))
