"""The subscription as others see it, with the terms that it was sold by."""

from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from common.events import Event
from subscriptions.domain.subscription import Status, Subscription

_COPIED = (
    "version", "organisation_id", "provider_organisation_id", "provider_slug", "api_id", "api_slug", "plan_id",
    "plan_version_id", "status", "reason", "started_at", "canceled_at", "created_at", "limits_override",
)  # fmt: skip


class PhaseInEvent(BaseModel):
    """The time in which one plan version was in force: `from` included, `until` not; null: it goes on."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)
    plan_version_id: UUID
    since: AwareDatetime = Field(alias="from")
    until: AwareDatetime | None
    terms: dict[str, Any]  # as the catalogue published them


class SubscriptionChanged(
    Event, topic="subscriptions.subscription.v1", type="subscription.changed", key="subscription_id"
):
    """The subscription as it now stands, whole; `version` rises by one with every change."""

    subscription_id: UUID
    organisation_id: UUID
    provider_organisation_id: UUID
    provider_slug: str
    api_id: UUID
    api_slug: str
    plan_id: UUID
    plan_version_id: UUID
    status: Status
    reason: str | None
    started_at: AwareDatetime | None
    canceled_at: AwareDatetime | None
    created_at: AwareDatetime
    limits_override: dict[str, int | None] | None
    phases: list[PhaseInEvent]

    @classmethod
    def of(cls, subscription: Subscription) -> Self:
        """The event that tells of `subscription` as it is."""
        phases = [
            PhaseInEvent(
                plan_version_id=phase.plan_version_id, since=phase.since, until=phase.until, terms=phase.terms
            )
            for phase in subscription.phases
        ]
        copied = {name: getattr(subscription, name) for name in _COPIED}
        return cls(subscription_id=subscription.id, phases=phases, **copied)

    @classmethod
    def example(cls) -> Self:
        """A valid event with every field set."""
        began, changed = datetime(2026, 11, 3, 9, 30, tzinfo=UTC), datetime(2026, 11, 10, 14, 32, tzinfo=UTC)
        first, second = (
            UUID("01900000-0000-7000-8000-000000000051"),
            UUID("01900000-0000-7000-8000-000000000052"),
        )
        return cls(
            subscription_id=UUID("01900000-0000-7000-8000-000000000061"),
            version=4,
            organisation_id=UUID("01900000-0000-7000-8000-000000000002"),
            provider_organisation_id=UUID("01900000-0000-7000-8000-000000000001"),
            provider_slug="acme",
            api_id=UUID("01900000-0000-7000-8000-000000000011"),
            api_slug="rates",
            plan_id=UUID("01900000-0000-7000-8000-000000000041"),
            plan_version_id=second,
            status=Status.CANCELED,
            reason="no longer needed",
            started_at=began,
            canceled_at=datetime(2026, 11, 20, 8, 0, tzinfo=UTC),
            created_at=began,
            limits_override={"second": 50, "minute": None, "hour": None, "day": None},
            phases=[
                PhaseInEvent(plan_version_id=first, since=began, until=changed, terms=_example_terms(1900)),
                PhaseInEvent(
                    plan_version_id=second,
                    since=changed,
                    until=datetime(2026, 11, 20, 8, 0, tzinfo=UTC),
                    terms=_example_terms(4900),
                ),
            ],
        )


def _example_terms(fixed_fee: int) -> dict[str, Any]:
    return {
        "name": "Pro",
        "currency": "EUR",
        "billing_period": "monthly",
        "fixed_fee": fixed_fee,
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
    }
