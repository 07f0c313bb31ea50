"""What a plan sells: its terms, and the rules they must keep. Amounts are integers in minor units."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum
from typing import Any

from catalog.domain.currencies import CURRENCIES
from catalog.domain.errors import BadTerms
from catalog.domain.headers import header_name

MAX_AMOUNT = 1_000_000_000_00
MAX_STATUSES = 20
_STATUS = re.compile(r"[1-4](xx|[0-9]{2})")
MAX_REQUESTS = 1_000_000_000_000
_MAX_UNIT_PRICE = Decimal(1_000_000_000)
_MAX_DECIMALS = 12
_MAX_TIERS = 50


class PriceModel(StrEnum):
    """How calls beyond the included ones are priced."""

    FLAT = "flat"
    PER_UNIT = "per_unit"
    PACKAGE = "package"
    GRADUATED = "graduated"
    VOLUME = "volume"


class Allowance(StrEnum):
    """What the first, partial month includes."""

    FULL = "full"
    PRORATED = "prorated"


@dataclass(frozen=True, slots=True)
class Tier:
    """Units up to `up_to` (inclusive, counted from the first one above the included) at one price."""

    up_to: int | None  # None: the last tier, without end
    unit_price: Decimal  # minor units, often a fraction of one
    flat_fee: int = 0  # minor units, once the tier is entered


@dataclass(frozen=True, slots=True)
class UsagePrice:
    """One price model with just the fields that it needs."""

    model: PriceModel = PriceModel.FLAT
    unit_price: Decimal | None = None
    package_size: int | None = None
    package_price: int | None = None
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Calls allowed per window; None: no limit of that window."""

    second: int | None = None
    minute: int | None = None
    hour: int | None = None
    day: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """One plan as sold. Immutable: a change makes new terms under a new plan version."""

    name: str
    currency: str
    fixed_fee: int = 0
    billing_period: str = "monthly"
    included_requests: int = 0
    usage_price: UsagePrice = UsagePrice()
    quota: int | None = None
    first_period_allowance: Allowance = Allowance.FULL
    rate_limits: RateLimits = RateLimits()
    trial_days: int = 0
    units_header: str | None = None  # of the provider's answers: how many units a call was, in lower case
    units_cap: int | None = None  # at most so many units a call, whatever the answer reports
    counted_statuses: tuple[
        str, ...
    ] = ()  # "2xx" or "404": what the upstream answers that is charged; (): below 500

    def to_wire(self) -> dict[str, Any]:
        """The terms as events, tables and answers carry them: decimals as text, only the model's fields."""
        return {
            "name": self.name,
            "currency": self.currency,
            "billing_period": self.billing_period,
            "fixed_fee": self.fixed_fee,
            "included_requests": self.included_requests,
            "usage_price": _price_to_wire(self.usage_price),
            "quota": self.quota,
            "first_period_allowance": str(self.first_period_allowance),
            "rate_limits": {f.name: getattr(self.rate_limits, f.name) for f in fields(RateLimits)},
            "trial_days": self.trial_days,
            "units_header": self.units_header,
            "units_cap": self.units_cap,
            "counted_statuses": list(self.counted_statuses),
        }


def checked_terms(terms: Terms) -> Terms:
    """The terms themselves, when every rule holds; BadTerms names the first field that breaks one."""
    if not 1 <= len(terms.name.strip()) <= 100:
        raise BadTerms("A plan's name has 1 to 100 characters.", field="name")
    if terms.currency not in CURRENCIES:
        raise BadTerms("The currency is an ISO 4217 code in capitals, such as EUR.", field="currency")
    if terms.billing_period != "monthly":
        raise BadTerms("Plans are billed monthly.", field="billing_period")
    _check_range(terms.fixed_fee, MAX_AMOUNT, field="fixed_fee")
    _check_range(terms.included_requests, MAX_REQUESTS, field="included_requests")
    _check_range(terms.trial_days, 365, field="trial_days")
    if terms.units_header is not None and header_name(terms.units_header) != terms.units_header:
        raise BadTerms(
            "The header that reports units is a name of your own in lower case, such as x-tokens-used.",
            field="units_header",
        )
    _check_counting(terms)
    if terms.quota is not None:
        _check_range(terms.quota, MAX_REQUESTS, field="quota", low=1)
        if terms.quota < terms.included_requests:
            raise BadTerms("The quota would stop calls that the fee already pays for.", field="quota")
    _check_price(terms.usage_price)
    _check_rate_limits(terms.rate_limits)
    return terms


def default_allowance(fixed_fee: int) -> Allowance:
    """Free plans include everything from the first day; paid ones as much as the prorated fee pays for."""
    return Allowance.PRORATED if fixed_fee > 0 else Allowance.FULL


def _check_counting(terms: Terms) -> None:
    if terms.units_cap is not None:
        _check_range(terms.units_cap, MAX_REQUESTS, field="units_cap", low=1)
        if terms.units_header is None:
            raise BadTerms(
                "A cap on reported units needs the units_header that reports them.", field="units_cap"
            )
    if len(terms.counted_statuses) > MAX_STATUSES or not all(map(_STATUS.fullmatch, terms.counted_statuses)):
        raise BadTerms(
            f"At most {MAX_STATUSES} statuses from 100 to 499 or classes from 1xx to 4xx: a failing upstream is free.",
            field="counted_statuses",
        )


def _check_range(value: int, high: int, *, field: str, low: int = 0) -> None:
    if not low <= value <= high:
        raise BadTerms(f"{field} lies between {low} and {high}.", field=field)


def _check_price(price: UsagePrice) -> None:
    at = "usage_price"
    wanted = {
        PriceModel.FLAT: set[str](),
        PriceModel.PER_UNIT: {"unit_price"},
        PriceModel.PACKAGE: {"package_size", "package_price"},
        PriceModel.GRADUATED: {"tiers"},
        PriceModel.VOLUME: {"tiers"},
    }[price.model]
    for name in ("unit_price", "package_size", "package_price", "tiers"):
        given = getattr(price, name) not in (None, ())
        if given and name not in wanted:
            raise BadTerms(f"A price of model {price.model} has no {name}.", field=f"{at}.{name}")
        if not given and name in wanted:
            raise BadTerms(f"A price of model {price.model} needs {name}.", field=f"{at}.{name}")
    if price.unit_price is not None:
        _check_unit_price(price.unit_price, field=f"{at}.unit_price")
    if price.package_size is not None:
        _check_range(price.package_size, MAX_REQUESTS, field=f"{at}.package_size", low=1)
    if price.package_price is not None:
        _check_range(price.package_price, MAX_AMOUNT, field=f"{at}.package_price")
    if price.tiers:
        _check_tiers(price.tiers, at=f"{at}.tiers")


def _check_tiers(tiers: Sequence[Tier], *, at: str) -> None:
    if len(tiers) > _MAX_TIERS:
        raise BadTerms(f"A price has at most {_MAX_TIERS} tiers.", field=at)
    reached = 0
    for index, tier in enumerate(tiers):
        last = index == len(tiers) - 1
        if (tier.up_to is None) is not last:
            raise BadTerms("The last tier, and only it, is open: up_to null.", field=f"{at}.{index}.up_to")
        if tier.up_to is not None:
            if not reached < tier.up_to <= MAX_REQUESTS:
                raise BadTerms("Each tier ends above the one before it.", field=f"{at}.{index}.up_to")
            reached = tier.up_to
        _check_unit_price(tier.unit_price, field=f"{at}.{index}.unit_price")
        _check_range(tier.flat_fee, MAX_AMOUNT, field=f"{at}.{index}.flat_fee")


def _check_unit_price(price: Decimal, *, field: str) -> None:
    if not price.is_finite() or not 0 <= price <= _MAX_UNIT_PRICE:
        raise BadTerms("A unit price is a non-negative decimal in minor units.", field=field)
    exponent = price.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > _MAX_DECIMALS:
        raise BadTerms(f"A unit price has at most {_MAX_DECIMALS} decimal places.", field=field)


def _check_rate_limits(limits: RateLimits) -> None:
    # Kong refuses a consumer whose shorter window allows more than a longer one.
    below: tuple[str, int] | None = None
    for f in fields(RateLimits):
        value: int | None = getattr(limits, f.name)
        if value is None:
            continue
        _check_range(value, MAX_REQUESTS, field=f"rate_limits.{f.name}", low=1)
        if below is not None and value < below[1]:
            raise BadTerms(
                f"The limit per {f.name} may not be lower than the limit per {below[0]}.",
                field=f"rate_limits.{f.name}",
            )
        below = (f.name, value)


def _price_to_wire(price: UsagePrice) -> dict[str, Any]:
    wire: dict[str, Any] = {"model": str(price.model)}
    if price.unit_price is not None:
        wire["unit_price"] = plain(price.unit_price)
    if price.package_size is not None:
        wire |= {"package_size": price.package_size, "package_price": price.package_price}
    if price.tiers:
        wire["tiers"] = [
            {"up_to": t.up_to, "unit_price": plain(t.unit_price), "flat_fee": t.flat_fee} for t in price.tiers
        ]
    return wire


def plain(number: Decimal) -> str:
    """The number without exponent and without trailing zeros, so that equal prices are equal texts."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
