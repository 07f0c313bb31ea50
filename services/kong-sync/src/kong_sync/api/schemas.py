"""The bodies of kong-sync's endpoints."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from kong_sync.db.passes import LastPass
from kong_sync.db.progress import Told
from kong_sync.domain.diff import Change
from kong_sync.domain.guard import Plan
from kong_sync.domain.report import PassReport


class ChangeOut(BaseModel):
    """One write: what happens to which entity, and which fields differ. Values are left out: keys stand in some."""

    action: str
    kind: str
    id: UUID
    name: str
    concern: str
    owner_id: str | None
    fields: list[str]

    @classmethod
    def of(cls, change: Change) -> ChangeOut:
        """As a body."""
        entity = change.entity
        return cls(
            action=change.action, kind=entity.kind, id=UUID(entity.id), name=entity.label,
            concern=entity.owner.concern, owner_id=entity.owner.id or None, fields=list(change.fields),
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
