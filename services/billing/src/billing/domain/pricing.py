"""The price of a quantity, and how it came about: each model answers with its steps, never an amount alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from billing.domain.terms import PriceModel, Tier, UsagePrice
from common.money import round_half_up

# Unit prices may have any number of decimals and quantities a dozen digits: nothing may be rounded on the way.
_DIGITS = 60


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a price: `quantity` units (those above `above`, up to `up_to`) at `unit_price`, and a flat fee."""

    step: str
    quantity: int
    unit_price: Decimal
    amount: Decimal
    flat_fee: Decimal = Decimal(0)
    above: int = 0
    up_to: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """`amount` in whole minor units, rounded half up once; `exact` before that; `steps` add up to `exact`."""

    amount: int
    exact: Decimal
    steps: tuple[Step, ...]


def price_of(quantity: int, usage_price: UsagePrice) -> Price:
    """The price of `quantity` units, all priced together from the first unit on."""
    if quantity < 0:
        raise ValueError("a quantity is never negative")
    with localcontext(prec=_DIGITS):
        steps = tuple(_steps(quantity, usage_price))
        exact = sum((step.amount for step in steps), Decimal(0))
        return Price(amount=round_half_up(exact), exact=exact, steps=steps)


def _steps(quantity: int, price: UsagePrice) -> list[Step]:
    if price.model is PriceModel.PER_UNIT:
        return [Step("unit", quantity, price.unit_price, quantity * price.unit_price)]
    if price.model is PriceModel.PACKAGE:
        packages = -(-quantity // price.package_size)
        return [Step("package", packages, price.package_price, packages * price.package_price)]
    if price.model is PriceModel.GRADUATED:
        return _graduated(quantity, price.tiers)
    if price.model is PriceModel.VOLUME:
        return [_volume(quantity, price.tiers)]
    return []


def _graduated(quantity: int, tiers: Sequence[Tier]) -> list[Step]:
    # The first tier's flat fee is due without any unit, a later one's only when a unit enters that tier.
    steps: list[Step] = []
    above = 0
    for tier in tiers:
        if steps and quantity <= above:
            break
        reach = quantity if tier.up_to is None else min(quantity, tier.up_to)
        units = reach - above
        amount = units * tier.unit_price + tier.flat_fee
        steps.append(Step("tier", units, tier.unit_price, amount, tier.flat_fee, above, tier.up_to))
        above = reach
    return steps


def _volume(quantity: int, tiers: Sequence[Tier]) -> Step:
    above = 0
    for tier in tiers:
        if tier.up_to is None or quantity <= tier.up_to:
            break
        above = tier.up_to
    amount = quantity * tier.unit_price + tier.flat_fee
    return Step("volume_tier", quantity, tier.unit_price, amount, tier.flat_fee, above, tier.up_to)
