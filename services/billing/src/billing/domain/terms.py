"""Terms as they were sold: what a subscription pays, frozen for each plan version it had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from billing.domain.errors import InvalidTerms


class PriceModel(StrEnum):
    """How a quantity of units becomes an amount."""

    FLAT = "flat"
    PER_UNIT = "per_unit"
    PACKAGE = "package"
    GRADUATED = "graduated"
    VOLUME = "volume"


class Allowance(StrEnum):
    """What happens to the included requests in a part of a month."""

    FULL = "full"
    PRORATED = "prorated"


@dataclass(frozen=True, slots=True)
class Tier:
    """Units up to and including `up_to` (None: without end); prices in minor units."""

    up_to: int | None
    unit_price: Decimal
    flat_fee: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class UsagePrice:
    """The price of usage beyond the included requests; only the fields of its model are set."""

    model: PriceModel
    unit_price: Decimal = Decimal(0)
    package_size: int = 0
    package_price: Decimal = Decimal(0)
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """One plan version as sold. `fixed_fee` in minor units a month, `included_requests` and `quota` a month.

    `quota` is where calls stop (None: nowhere). A few pass while the stop travels; those are counted, never billed.
    """

    name: str
    currency: str
    fixed_fee: int
    included_requests: int
    usage_price: UsagePrice
    first_period_allowance: Allowance = Allowance.FULL
    trial_days: int = 0
    quota: int | None = None


def read_terms(data: Mapping[str, Any]) -> Terms:
    """The terms that an event's `terms` object states; InvalidTerms names the first thing that cannot be rated."""
    if data.get("billing_period", "monthly") != "monthly":
        raise InvalidTerms("Only monthly terms can be rated so far.", field="terms.billing_period")
    allowance = data.get("first_period_allowance") or Allowance.FULL
    if allowance not in list(Allowance):
        raise InvalidTerms(
            "first_period_allowance is full or prorated.", field="terms.first_period_allowance"
        )
    currency = str(data.get("currency", ""))
    if len(currency) != 3 or not currency.isupper():
        raise InvalidTerms("The currency is an ISO 4217 code such as EUR.", field="terms.currency")
    return Terms(
        name=str(data.get("name", "")),
        currency=currency,
        fixed_fee=_whole(data.get("fixed_fee", 0), "fixed_fee"),
        included_requests=_whole(data.get("included_requests", 0), "included_requests"),
        usage_price=_read_usage_price(data.get("usage_price") or {"model": "flat"}),
        first_period_allowance=Allowance(allowance),
        trial_days=_whole(data.get("trial_days") or 0, "trial_days"),
        quota=None if data.get("quota") is None else _whole(data["quota"], "quota"),
    )


def _read_usage_price(data: Mapping[str, Any]) -> UsagePrice:
    try:
        model = PriceModel(data.get("model", ""))
    except ValueError as error:
        raise InvalidTerms(
            f"Unknown price model {data.get('model')!r}.", field="terms.usage_price.model"
        ) from error
    if model is PriceModel.PER_UNIT:
        return UsagePrice(model, unit_price=_price(data.get("unit_price"), "unit_price"))
    if model is PriceModel.PACKAGE:
        size = _whole(data.get("package_size"), "usage_price.package_size")
        if size == 0:
            raise InvalidTerms("A package holds at least one unit.", field="terms.usage_price.package_size")
        price = _price(data.get("package_price"), "package_price")
        return UsagePrice(model, package_size=size, package_price=price)
    if model in (PriceModel.GRADUATED, PriceModel.VOLUME):
        return UsagePrice(model, tiers=_read_tiers(data.get("tiers") or ()))
    return UsagePrice(model)


def _read_tiers(items: Sequence[Mapping[str, Any]]) -> tuple[Tier, ...]:
    tiers = tuple(
        Tier(
            up_to=None if item.get("up_to") is None else _whole(item["up_to"], "usage_price.tiers.up_to"),
            unit_price=_price(item.get("unit_price", "0"), "tiers.unit_price"),
            flat_fee=_price(item.get("flat_fee") or 0, "tiers.flat_fee"),
        )
        for item in items
    )
    bounds = [tier.up_to for tier in tiers]
    if not tiers or bounds[-1] is not None or None in bounds[:-1]:
        raise InvalidTerms("The last tier, and no other, is open-ended.", field="terms.usage_price.tiers")
    closed = [bound for bound in bounds if bound is not None]
    if closed != sorted(set(closed)) or 0 in closed:
        raise InvalidTerms("Each tier ends above the one before.", field="terms.usage_price.tiers")
    return tiers


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidTerms(f"{name} is a whole number from 0.", field=f"terms.{name}")
    return value


def _price(value: object, name: str) -> Decimal:
    # An int or a decimal string: a JSON float has already lost the exact price.
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise InvalidTerms(f"{name} is a decimal string in minor units.", field=f"terms.usage_price.{name}")
    try:
        price = Decimal(value)
    except InvalidOperation as error:
        raise InvalidTerms(f"{name} is a decimal string.", field=f"terms.usage_price.{name}") from error
    if not price.is_finite() or price < 0:
        raise InvalidTerms(f"{name} is not negative.", field=f"terms.usage_price.{name}")
    return price
