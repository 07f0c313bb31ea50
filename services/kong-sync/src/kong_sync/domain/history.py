"""What is kept of a pass, so that an operator can read later what happened to the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from kong_sync.domain.diff import Change
from kong_sync.domain.difference import differences_of
from kong_sync.domain.report import Outcome, PassReport

KEPT_PASSES = 1_000
KEPT_CHANGES = 1_000  # of each pass; first provisioning of a large marketplace makes many times as many
_REPEATING = frozenset({Outcome.PARTLY, Outcome.UNAVAILABLE})


class Trigger(StrEnum):
    """What made the pass: something became due, or all of Kong was compared (by the timer or an operator's word).

    Or an operator let us take over what stood in our way: its changes are what was removed.
    """

    CHANGE = "change"
    SWEEP = "sweep"
    ADOPTION = "adoption"


@dataclass(frozen=True, slots=True)
class PastPlan:
    """A pass that changed something or failed. `passes` counts how often the very same failure followed on itself."""

    id: UUID
    trigger: str
    outcome: str
    started_at: datetime
    finished_at: datetime
    passes: int
    change_count: int
    withheld_count: int
    failures: Mapping[str, str]
    canary_seen: bool | None
    error: str | None


@dataclass(frozen=True, slots=True)
class PastChanges:
    """The first changes of a past plan, as they may be shown."""

    changes: Sequence[Mapping[str, Any]]
    withheld: Sequence[Mapping[str, Any]]


def is_history(report: PassReport) -> bool:
    """Something was changed, withheld or failed: a pass that found nothing to do is not worth a line."""
    return report.outcome in {Outcome.APPLIED, Outcome.PARTLY, Outcome.UNAVAILABLE}


def past_plan(report: PassReport, *, id_: UUID, trigger: Trigger) -> PastPlan:
    """What is kept of `report`."""
    failures = sorted((f"{o.concern} {o.id}".strip(), reason) for o, reason in report.failures.items())
    return PastPlan(
        id=id_, trigger=trigger.value, outcome=report.outcome.value, started_at=report.started_at,
        finished_at=report.finished_at, passes=1, change_count=len(report.plan.changes),
        withheld_count=len(report.plan.withheld), failures=dict(failures[:KEPT_CHANGES]),
        canary_seen=report.canary_seen, error=report.error,
    )  # fmt: skip


def past_changes(report: PassReport) -> PastChanges:
    """What is kept of its changes: no value that may be a key."""
    return PastChanges(
        changes=[_shown(change) for change in report.plan.changes[:KEPT_CHANGES]],
        withheld=[_shown(change) for change in report.plan.withheld[:KEPT_CHANGES]],
    )


def repeats(last: PastPlan, before: PastChanges, plan: PastPlan, changes: PastChanges) -> bool:
    """The same failure again: Kong is still away, or still refuses the same."""
    return plan.outcome in _REPEATING and (
        (last.outcome, last.failures, last.change_count, last.withheld_count, before)
        == (plan.outcome, plan.failures, plan.change_count, plan.withheld_count, changes)
    )


def _shown(change: Change) -> dict[str, Any]:
    entity = change.entity
    return {
        "action": change.action.value, "kind": entity.kind.value, "id": entity.id, "name": entity.label,
        "concern": entity.owner.concern.value, "owner_id": entity.owner.id or None, "fields": list(change.fields),
        "differences": [asdict(difference) for difference in differences_of(change)],
    }  # fmt: skip
