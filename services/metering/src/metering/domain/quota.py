"""Quota: where the units of an organisation for an API in a month stand against the plan's limit."""

from __future__ import annotations

from enum import StrEnum


class QuotaState(StrEnum):
    """`reached` is where calls stop."""

    OK = "ok"
    WARNING = "warning"
    REACHED = "reached"


def state_of(used: int, limit: int | None) -> QuotaState:
    """The state at `used` units: a warning from nine tenths on (whole numbers, no rounding), reached at the limit."""
    if limit is None:
        return QuotaState.OK
    if used >= limit:
        return QuotaState.REACHED
    return QuotaState.WARNING if used * 10 >= limit * 9 else QuotaState.OK


def overshoot(used: int, limit: int | None, *, added: int) -> int:
    """How many of the last `added` of `used` units lie above the limit."""
    return 0 if limit is None else min(added, max(0, used - limit))
