"""Numbers that others published, each with its source. They are in major units; ours are minor: times a hundred."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.domain.payouts import split
from billing.domain.period import Period
from billing.domain.pricing import price_of
from billing.domain.proration import prorate
from billing.domain.terms import PriceModel, Tier, UsagePrice
from common.money import round_half_up

OWN_COPY = Path(__file__).parents[1] / "data" / "pricing_vectors.json"
PRICES = {"per_unit", "package", "graduated", "volume"}
FRACTIONAL_UNITS = {"PV064"}  # a quantity of half a unit: ours are whole numbers


def _vectors() -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads(OWN_COPY.read_text())["vectors"]
    known = {vector["id"] for vector in vectors}
    more = os.environ.get("MARKETPLACE_PRICING_VECTORS")  # noqa: TID251
    if more:
        vectors += [v for v in json.loads(Path(more).read_text()) if v["id"] not in known]
    return [v for v in vectors if v["id"] not in FRACTIONAL_UNITS]


def _of(*models: str) -> list[Any]:
    return [pytest.param(v, id=v["id"]) for v in _vectors() if v["model"] in models]


def _minor(major: str) -> Decimal:
    return Decimal(major) * 100


def _usage_price(model: str, inputs: dict[str, Any]) -> UsagePrice:
    if model == "per_unit":
        return UsagePrice(PriceModel.PER_UNIT, unit_price=_minor(inputs["unit_amount"]))
    if model == "package":
        size, price = int(inputs["package_size"]), _minor(inputs["package_amount"])
        return UsagePrice(PriceModel.PACKAGE, package_size=size, package_price=price)
    tiers = tuple(
        Tier(
            None if tier["up_to"] is None else int(tier["up_to"]),
            _minor(tier["unit_amount"]),
            _minor(tier["flat_amount"]),
        )
        for tier in inputs["tiers"]
    )
    return UsagePrice(PriceModel(model), tiers=tiers)


@pytest.mark.parametrize("vector", _of(*PRICES))
def test_a_published_price(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    quantity = max(0, int(inputs["quantity"]) - int(inputs.get("free_units", 0)))
    price = price_of(quantity, _usage_price(vector["model"], inputs))
    assert price.exact == _minor(vector["expected"])
    assert price.amount == round_half_up(_minor(vector["expected"]))


@pytest.mark.parametrize("vector", _of("graduated_progressive"))
def test_a_line_after_others_is_the_difference_of_two_totals(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    price, before = _usage_price("graduated", inputs), int(inputs["already_billed_quantity"])
    line = price_of(before + int(inputs["line_quantity"]), price).amount - price_of(before, price).amount
    assert line == _minor(vector["expected"])


@pytest.mark.parametrize("vector", _of("late_usage_volume_reprice"))
def test_a_volume_total_that_falls_is_reversed_and_billed_again(vector: dict[str, Any]) -> None:
    inputs, expected = vector["inputs"], vector["expected"]
    price = _usage_price("volume", inputs)
    assert -price_of(int(inputs["billed_quantity"]), price).amount == _minor(expected["reversal"])
    assert price_of(int(inputs["current_quantity"]), price).amount == _minor(expected["new_line"])


@pytest.mark.parametrize("vector", _of("platform_fee_split"))
def test_a_published_split(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    parts = split(int(_minor(inputs["gross"])), fee_percent=Decimal(inputs["fee_percent"]))
    assert parts.provider == _minor(vector["expected"])


@pytest.mark.parametrize("vector", _of("proration_seconds_same_interval"))
def test_a_published_proration_by_the_second(vector: dict[str, Any]) -> None:
    inputs, expected = vector["inputs"], vector["expected"]
    if "period_start" not in inputs:
        pytest.skip("given as a fraction, without a period")
    start, change, end = (
        datetime.fromisoformat(inputs[name]) for name in ("period_start", "change_at", "period_end")
    )
    rest, whole = Period(change, end), Period(start, end)
    assert prorate(inputs["old_cents"], part=rest, whole=whole) == int(expected["credit_cents"])
    assert prorate(inputs["new_cents"], part=rest, whole=whole) == int(expected["debit_cents"])


@pytest.mark.parametrize("vector", _of("proration_seconds_unused"))
def test_a_recorded_credit_for_unused_time(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    start, now, end = (
        datetime.fromtimestamp(inputs[name], UTC) for name in ("period_start", "proration_date", "period_end")
    )
    assert -prorate(inputs["amount_cents"], part=Period(now, end), whole=Period(start, end)) == int(
        vector["expected"]
    )
