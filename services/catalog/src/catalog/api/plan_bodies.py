"""What a plan is made of, as it is sent."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from catalog.api.bodies import Body, Text
from catalog.domain.api import PlanStatus
from catalog.domain.terms import Allowance, PriceModel, RateLimits, Terms, Tier, UsagePrice, default_allowance


def _decimal(value: Any) -> Any:
    # A JSON number with a point went through a float on its way here: it is no longer what was meant.
    if isinstance(value, float):
        raise ValueError('send a decimal as text, such as "0.5"')
    return value


UnitPrice = Annotated[Decimal, BeforeValidator(_decimal), Field(max_digits=30)]
Whole = Annotated[int, Field(strict=True, ge=0, le=10**15)]
Limit = Annotated[int, Field(strict=True, ge=1, le=10**15)]


class TierIn(Body):
    """Units up to `up_to` (inclusive, counted above the included ones); null in the last tier."""

    up_to: Limit | None
    unit_price: UnitPrice
    flat_fee: Whole = 0


class UsagePriceIn(Body):
    """The price of what goes beyond the included requests."""

    model: PriceModel = PriceModel.FLAT
    unit_price: UnitPrice | None = None
    package_size: Limit | None = None
    package_price: Whole | None = None
    tiers: list[TierIn] = Field(default=[], max_length=100)

    def value(self) -> UsagePrice:
        """The price as the domain knows it."""
        tiers = tuple(Tier(t.up_to, t.unit_price, t.flat_fee) for t in self.tiers)
        return UsagePrice(self.model, self.unit_price, self.package_size, self.package_price, tiers)


class RateLimitsIn(Body):
    """Calls allowed per window; null or left out: no limit."""

    second: Limit | None = None
    minute: Limit | None = None
    hour: Limit | None = None
    day: Limit | None = None


PlanName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), Text]


class PlanCreate(Body):
    """A new plan. Amounts in minor units of the currency; unit prices as decimal text in minor units."""

    name: PlanName
    currency: Annotated[str, StringConstraints(min_length=3, max_length=3)]
    billing_period: str = "monthly"
    fixed_fee: Whole = 0
    included_requests: Whole = 0
    usage_price: UsagePriceIn = UsagePriceIn()
    quota: Limit | None = None
    first_period_allowance: Allowance | None = None
    rate_limits: RateLimitsIn = RateLimitsIn()
    trial_days: Whole = 0
    units_header: Annotated[str, StringConstraints(max_length=64, to_lower=True)] | None = None
    units_cap: Limit | None = None
    counted_statuses: list[Annotated[str, StringConstraints(max_length=3, to_lower=True)]] = Field(
        default=[], max_length=20
    )
    requires_approval: bool = False

    def terms(self) -> Terms:
        """The terms as the domain knows them."""
        return Terms(
            name=self.name,
            currency=self.currency,
            billing_period=self.billing_period,
            fixed_fee=self.fixed_fee,
            included_requests=self.included_requests,
            usage_price=self.usage_price.value(),
            quota=self.quota,
            first_period_allowance=self.first_period_allowance or default_allowance(self.fixed_fee),
            rate_limits=RateLimits(**self.rate_limits.model_dump()),
            trial_days=self.trial_days,
            units_header=self.units_header,
            units_cap=self.units_cap,
            counted_statuses=tuple(self.counted_statuses),
        )


class PlanUpdate(PlanCreate):
    """The whole plan as it shall be sold from now on; `status: archived` ends its sale."""

    status: PlanStatus = PlanStatus.ACTIVE
