"""The bodies of kong-sync's endpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from kong_sync.db.passes import LastPass
from kong_sync.db.progress import Told
from kong_sync.domain.diff import Change
from kong_sync.domain.difference import Difference, Shown, differences_of
from kong_sync.domain.drift import Drift, DriftKind
from kong_sync.domain.guard import Plan
from kong_sync.domain.history import PastChanges, PastPlan
from kong_sync.domain.report import PassReport


class DifferenceOut(BaseModel):
    """One field that differs. Values are shown as far as they are no secret, long ones by their beginning."""

    path: str
    wanted: Shown
    found: Shown

    @classmethod
    def of(cls, difference: Difference) -> DifferenceOut:
        """As a body."""
        return cls.model_validate(difference, from_attributes=True)


class ChangeOut(BaseModel):
    """One write: what happens to which entity, and which fields an update changes."""

    action: str
    kind: str
    id: UUID
    name: str
    concern: str
    owner_id: str | None
    fields: list[str]
    differences: list[DifferenceOut] = []

    @classmethod
    def of(cls, change: Change) -> ChangeOut:
        """As a body."""
        entity = change.entity
        return cls(
            action=change.action, kind=entity.kind, id=UUID(entity.id), name=entity.label,
            concern=entity.owner.concern, owner_id=entity.owner.id or None, fields=list(change.fields),
            differences=[DifferenceOut.of(difference) for difference in differences_of(change)],
        )  # fmt: skip


class DiffOut(BaseModel):
    """What would be written now, in order, and what waits for an operator's word."""

    equal: bool
    changes: list[ChangeOut]
    withheld: list[ChangeOut]

    @classmethod
    def of(cls, plan: Plan) -> DiffOut:
        """As a body."""
        return cls(
            equal=plan.empty,
            changes=[ChangeOut.of(change) for change in plan.changes],
            withheld=[ChangeOut.of(change) for change in plan.withheld],
        )


class DriftItemOut(BaseModel):
    """One entity that is not as we left it, or that somebody else hung on one of ours."""

    drift: DriftKind
    ours: bool = Field(description="The next full pass mends it; all else is reported and never touched.")
    kind: str
    id: UUID
    name: str
    concern: str
    owner_id: str | None
    differences: list[DifferenceOut]

    @classmethod
    def of(cls, drift: Drift) -> DriftItemOut:
        """As a body."""
        entity = drift.entity
        return cls(
            drift=drift.kind, ours=drift.ours, kind=entity.kind, id=UUID(entity.id), name=entity.label,
            concern=entity.owner.concern, owner_id=entity.owner.id or None,
            differences=[DifferenceOut.of(difference) for difference in drift.differences],
        )  # fmt: skip


class DriftOut(BaseModel):
    """What differs although no wish has changed. `items` are the first of `total`."""

    drifted: bool
    total: int
    by_kind: dict[DriftKind, int]
    items: list[DriftItemOut]

    @classmethod
    def of(cls, found: Sequence[Drift], *, at_most: int) -> DriftOut:
        """As a body."""
        return cls(
            drifted=bool(found), total=len(found), by_kind=Counter(drift.kind for drift in found),
            items=[DriftItemOut.of(drift) for drift in found[:at_most]],
        )  # fmt: skip


class PastPlanOut(BaseModel):
    """A pass that changed something or failed; `passes` in a row ended the very same way."""

    id: UUID
    trigger: str = Field(
        description="`change`: something became due. `sweep`: all of Kong was compared. `adoption`: room was made."
    )
    outcome: str
    started_at: datetime
    finished_at: datetime
    passes: int
    change_count: int
    withheld_count: int
    failures: dict[str, str]
    canary_seen: bool | None
    error: str | None

    @classmethod
    def of(cls, plan: PastPlan) -> PastPlanOut:
        """As a body."""
        return cls.model_validate(plan, from_attributes=True)


class PlanPage(BaseModel):
    """A page of the history, the newest first."""

    items: list[PastPlanOut]
    next_cursor: str | None


class PlanOut(PastPlanOut):
    """A plan with its changes: the first of `change_count` and of `withheld_count`."""

    changes: list[ChangeOut]
    withheld: list[ChangeOut]

    @classmethod
    def whole(cls, plan: PastPlan, changes: PastChanges) -> PlanOut:
        """As a body."""
        return cls(
            **PastPlanOut.of(plan).model_dump(),
            changes=[ChangeOut.model_validate(change) for change in changes.changes],
            withheld=[ChangeOut.model_validate(change) for change in changes.withheld],
        )


class ReconcileIn(BaseModel):
    """What to do. Nothing is written unless `dry_run` is false."""

    dry_run: bool = True
    confirm_deletes: bool = Field(
        default=False, description="Also make removals that no row of ours explains."
    )


class ReconcileOut(DiffOut):
    """The plan, and, when it was applied, how that ended."""

    dry_run: bool
    outcome: str | None = None
    failures: dict[str, str] = {}
    canary_seen: bool | None = None
    error: str | None = None

    @classmethod
    def of_pass(cls, report: PassReport) -> ReconcileOut:
        """As a body."""
        return cls(
            **DiffOut.of(report.plan).model_dump(), dry_run=False, outcome=report.outcome, error=report.error,
            failures={f"{o.concern} {o.id}".strip(): reason for o, reason in report.failures.items()},
            canary_seen=report.canary_seen,
        )  # fmt: skip


class LastPassOut(BaseModel):
    """How the last pass ended."""

    outcome: str
    started_at: datetime
    finished_at: datetime
    changes: int
    withheld: int
    failures: dict[str, str]
    canary_seen: bool | None
    error: str | None

    @classmethod
    def of(cls, last: LastPass) -> LastPassOut:
        """As a body."""
        return cls.model_validate(last, from_attributes=True)


class NodeOut(BaseModel):
    """The gateway's node, as far as it answers."""

    reachable: bool
    version: str | None = None


class StatusOut(BaseModel):
    """How the gateway stands."""

    enabled: bool
    namespace: str
    lua_release: str
    node: NodeOut
    progress: dict[str, dict[str, int]]
    last_pass: LastPassOut | None


class ApiProgressOut(BaseModel):
    """How far the gateway is with one API."""

    api_id: UUID
    state: str
    reason: str | None
    proxy_url: str | None

    @classmethod
    def of(cls, told: Told) -> ApiProgressOut:
        """As a body."""
        said = told.progress
        return cls(api_id=UUID(told.owner.id), state=said.state, reason=said.reason, proxy_url=said.proxy_url)
