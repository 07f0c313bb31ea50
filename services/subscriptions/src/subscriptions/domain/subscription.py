"""The values of a subscription: what was sold to whom, and on which terms over time."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Status(StrEnum):
    """Where a subscription stands."""

    PENDING_APPROVAL = "pending_approval"
    ACTIVE = "active"
    PAUSED = "paused"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    REJECTED = "rejected"


LIVE = frozenset({Status.PENDING_APPROVAL, Status.ACTIVE, Status.PAUSED, Status.PAST_DUE})
"""Statuses of which an organisation has at most one per API."""

STARTED = frozenset({Status.ACTIVE, Status.PAUSED, Status.PAST_DUE})
"""Statuses in which a subscription may hold keys."""


class Standing(StrEnum):
    """Whether an organisation has paid what it owes, as billing says."""

    GOOD = "good"
    PAST_DUE = "past_due"


@dataclass(frozen=True, slots=True)
class ApiCopy:
    """An API as the catalogue last published it."""

    api_id: UUID
    version: int
    provider_organisation_id: UUID
    provider_slug: str
    slug: str
    name: str
    status: str
    visibility: str

    @property
    def is_on_sale(self) -> bool:
        """New subscriptions are taken."""
        return self.status == "published"


@dataclass(frozen=True, slots=True)
class PlanCopy:
    """A plan as the catalogue last published it. `terms` are kept whole: what is sold is what was published."""

    plan_id: UUID
    version: int
    plan_version_id: UUID
    api_id: UUID
    api_slug: str
    provider_organisation_id: UUID
    provider_slug: str
    status: str
    requires_approval: bool
    terms: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Phase:
    """The time in which one plan version was in force, half-open. The last phase has no end while it lasts."""

    plan_version_id: UUID
    since: datetime
    until: datetime | None
    terms: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subscription:
    """One consumer organisation on one plan of one API. `version` rises by one with every change."""

    id: UUID
    version: int
    organisation_id: UUID
    provider_organisation_id: UUID
    provider_slug: str
    api_id: UUID
    api_slug: str
    plan_id: UUID
    plan_version_id: UUID
    status: Status
    created_at: datetime
    # As sold: kept from the first moment, so that a plan edited while approval is pending changes nothing.
    terms: dict[str, Any]
    reason: str | None = None
    started_at: datetime | None = None
    canceled_at: datetime | None = None
    limits_override: dict[str, int | None] | None = None
    phases: tuple[Phase, ...] = ()


@dataclass(frozen=True, slots=True)
class Gateway:
    """What kong-sync last said about a subscription."""

    state: str = "pending"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """What metering last said about a subscription's month. Shown only; the gateway hears it from metering."""

    period: str
    limit: int | None  # None: no quota any more
    used: int
    state: str
    until: datetime | None
