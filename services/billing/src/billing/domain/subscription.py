"""A subscription as billing sees it: who buys from whom, since when, on which terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from billing.domain.period import Period, month_start
from billing.domain.terms import Terms


@dataclass(frozen=True, slots=True)
class Phase:
    """A time during which one plan version was in force; `until` is None for the last one."""

    plan_version_id: UUID
    start: datetime
    until: datetime | None
    terms: Terms


@dataclass(frozen=True, slots=True)
class SoldSubscription:
    """A sale: `phases` in order, each with its terms as sold."""

    id: UUID
    organisation_id: UUID
    provider_organisation_id: UUID
    api_id: UUID
    api_slug: str
    started_at: datetime | None
    canceled_at: datetime | None
    phases: tuple[Phase, ...]

    def paid_time(self, horizon: datetime, *, since: datetime | None) -> Period:
        """The time that a fixed fee is due for, up to `horizon`: from the end of the trial to the end of the month
        in which it was canceled (a month that has begun is paid for). `since`: nothing before is billed.
        """
        if self.started_at is None or not self.phases:
            return Period(horizon, horizon)
        start = self.started_at + timedelta(days=self.phases[0].terms.trial_days)
        if since is not None:
            start = max(start, since)
        return Period(start, min(horizon, self.ends_at or horizon))

    @property
    def ends_at(self) -> datetime | None:
        """The end of its last month, when it is canceled."""
        if self.canceled_at is None:
            return None
        if self.started_at is not None and self.canceled_at <= self.started_at:
            return self.started_at
        begun = month_start(self.canceled_at)
        return begun if begun == self.canceled_at else month_start(begun + timedelta(days=32))

    def in_force(self, month: Period) -> list[tuple[Phase, Period]]:
        """The phases that touch `month` and the part of it that each was in force; the last one to the month's end."""
        parts = []
        for number, phase in enumerate(self.phases):
            end = phase.until if number + 1 < len(self.phases) and phase.until else month.end
            part = month.intersect(Period(phase.start, end))
            if not part.is_empty and (self.ends_at is None or part.start < self.ends_at):
                parts.append((phase, part))
        return parts

    def terms_of(self, plan_version_id: UUID) -> Terms | None:
        """The terms of one plan version, if this subscription was ever on it."""
        return next((p.terms for p in self.phases if p.plan_version_id == plan_version_id), None)


def by_start(subscriptions: Sequence[SoldSubscription]) -> list[SoldSubscription]:
    """In the order in which they were started, ties by id, so that every run counts in the same order."""
    begun = [s for s in subscriptions if s.started_at is not None]
    return sorted(begun, key=lambda s: (s.started_at, s.id))
