"""A plan as others see it: everything that is needed to sell it, to limit calls and to price them."""

from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from catalog.domain.api import Api, Plan, PlanStatus
from common.events import Event


class TierInEvent(BaseModel):
    """One tier; `up_to` inclusive, null in the last one."""

    model_config = ConfigDict(frozen=True)
    up_to: int | None
    unit_price: str
    flat_fee: int


class UsagePriceInEvent(BaseModel):
    """The price of what goes beyond the included requests."""

    model_config = ConfigDict(frozen=True)
    model: Literal["flat", "per_unit", "package", "graduated", "volume"]
    unit_price: str | None = None
    package_size: int | None = None
    package_price: int | None = None
    tiers: list[TierInEvent] | None = None


class RateLimitsInEvent(BaseModel):
    """Calls allowed per window; null: no limit."""

    model_config = ConfigDict(frozen=True)
    second: int | None
    minute: int | None
    hour: int | None
    day: int | None


class TermsInEvent(BaseModel):
    """What is sold. Amounts in minor units, unit prices as decimal text in minor units."""

    model_config = ConfigDict(frozen=True)
    name: str
    currency: str
    billing_period: Literal["monthly"]
    fixed_fee: int
    included_requests: int
    usage_price: UsagePriceInEvent
    quota: int | None
    first_period_allowance: Literal["full", "prorated"]
    rate_limits: RateLimitsInEvent
    trial_days: int
    units_header: str | None
    units_cap: int | None
    counted_statuses: list[str]


class PlanChanged(Event, topic="catalog.plan.v1", type="plan.changed", key="plan_id"):
    """The plan as it now stands; `plan_version_id` names exactly these terms."""

    plan_id: UUID
    plan_version_id: UUID
    api_id: UUID
    api_slug: str
    provider_organisation_id: UUID
    provider_slug: str
    status: PlanStatus
    requires_approval: bool
    terms: TermsInEvent

    @classmethod
    def of(cls, plan: Plan, api: Api) -> Self:
        """The event that tells of `plan` as it is."""
        return cls(
            plan_id=plan.id,
            version=plan.version,
            plan_version_id=plan.plan_version_id,
            api_id=api.id,
            api_slug=api.slug,
            provider_organisation_id=api.provider_organisation_id,
            provider_slug=api.provider_slug,
            status=plan.status,
            requires_approval=plan.requires_approval,
            terms=TermsInEvent.model_validate(plan.terms.to_wire()),
        )

    @classmethod
    def example(cls) -> Self:
        """A valid event with every field set."""
        terms: dict[str, Any] = {
            "name": "Pro",
            "currency": "EUR",
            "billing_period": "monthly",
            "fixed_fee": 1900,
            "included_requests": 100,
            "usage_price": {
                "model": "graduated",
                "tiers": [
                    {"up_to": 1000, "unit_price": "0.5", "flat_fee": 0},
                    {"up_to": None, "unit_price": "0.25", "flat_fee": 0},
                ],
            },
            "quota": 100_000,
            "first_period_allowance": "prorated",
            "rate_limits": {"second": 10, "minute": 300, "hour": 10_000, "day": 100_000},
            "trial_days": 0,
            "units_header": "x-tokens-used",
            "units_cap": 1_000_000,
            "counted_statuses": ["2xx", "404"],
        }
        return cls(
            plan_id=UUID("01900000-0000-7000-8000-000000000041"),
            version=1,
            plan_version_id=UUID("01900000-0000-7000-8000-000000000051"),
            api_id=UUID("01900000-0000-7000-8000-000000000011"),
            api_slug="rates",
            provider_organisation_id=UUID("01900000-0000-7000-8000-000000000001"),
            provider_slug="acme",
            status=PlanStatus.ACTIVE,
            requires_approval=False,
            terms=TermsInEvent.model_validate(terms),
        )
