"""The delete budget: an empty or half-filled table must not take the gateway down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kong_sync.domain.diff import Action, Change
from kong_sync.domain.entities import Concern, Entity, tag_value
from kong_sync.domain.records import Tables


@dataclass(frozen=True, slots=True)
class DeleteBudget:
    """How many removals that no row of ours explains pass unconfirmed: whichever bound is smaller.

    Our copies never lose a row, so that nearly every such removal means that a table was lost: none passes by default.
    """

    count: int = 0
    share: float = 0.05

    def allowed(self, present: int) -> int:
        """The number that passes when `present` entities of ours stand in Kong."""
        return min(self.count, int(self.share * present))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written now, in order, and the removals that wait for an operator's word."""

    changes: tuple[Change, ...] = ()
    withheld: tuple[Change, ...] = ()

    @property
    def empty(self) -> bool:
        """Kong says what our tables say."""
        return not self.changes and not self.withheld


def guard_deletes(
    changes: Sequence[Change], tables: Tables, *, present: int, budget: DeleteBudget, confirmed: bool
) -> Plan:
    """The plan within the budget: all changes, or, beyond it, all but the removals that no row explains.

    A removal that a row explains (a stop, a revocation, a retirement) is a decision that was made: it never counts.
    """
    unexplained = [c for c in changes if c.action is Action.DELETE and not explained(c.entity, tables)]
    kept = {c.entity.key for c in changes if c.action is Action.CREATE}
    unexplained = [c for c in unexplained if c.entity.key not in kept]  # moved, not removed
    if confirmed or len(unexplained) <= budget.allowed(present):
        return Plan(changes=tuple(changes))
    return Plan(
        changes=tuple(c for c in changes if c not in unexplained),
        withheld=tuple(unexplained),
    )


def explained(entity: Entity, tables: Tables) -> bool:
    """Our tables hold every row that decides whether `entity` should stand in Kong.

    Topics are not ordered among themselves: while tables are filled again, an API may be known before its version.
    """
    if entity.owner.concern not in {Concern.API, Concern.SUBSCRIPTION}:
        return True
    part = tag_value(entity.tags, "part") or ""
    kind, _, rest = part.partition(".")
    id_ = rest.partition(".")[0]
    if entity.owner.concern is Concern.API:
        api = tables.apis.get(entity.owner.id)
        if api is None or not api.served:
            return api is not None
        return id_ in tables.versions or (kind == "route-latest" and _has_version(api.id, tables))
    if kind in {"key", "consumer-share"} and id_ not in tables.keys:
        return False
    return entity.owner.id in tables.subscriptions


def _has_version(api_id: str, tables: Tables) -> bool:
    return any(version.api_id == api_id for version in tables.versions.values())
