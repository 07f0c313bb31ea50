"""What one pass of the reconciler did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kong_sync.domain.diff import Change
from kong_sync.domain.entities import Entity, Owner
from kong_sync.domain.guard import Plan
from kong_sync.domain.records import Tables


class Outcome(StrEnum):
    """How a pass ended."""

    EQUAL = "equal"
    APPLIED = "applied"
    PARTLY = "partly"
    UNAVAILABLE = "unavailable"
    SWITCHED_OFF = "switched_off"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and everything that it was made of."""

    plan: Plan
    tables: Tables
    desired: tuple[Entity, ...]
    generation: str
    actual: tuple[Entity, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a plan's changes: what Kong said yes to, refusals by owner, and those left out of something.

    `orphans` were left out because what they hang on is not in Kong; `lost` says the same of the canary.
    """

    written: tuple[Change, ...] = ()
    failures: Mapping[Owner, str] = field(default_factory=dict)
    left_out: frozenset[Owner] = frozenset()
    orphans: frozenset[Owner] = frozenset()
    lost: bool = False


@dataclass(frozen=True, slots=True)
class PassReport:
    """One pass, as `GET /v1/gateway/status` tells it."""

    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    plan: Plan = field(default_factory=Plan)
    failures: Mapping[Owner, str] = field(default_factory=dict)
    canary_seen: bool | None = None
    error: str | None = None
    next_deadline: datetime | None = None
    sweep_needed: bool = False
