"""Rate limits: what a plan and an override allow, in the form that Kong's rate-limiting plugin accepts."""

from __future__ import annotations

from dataclasses import dataclass

WINDOWS = ("second", "minute", "hour", "day")


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls allowed in each window; None is without limit."""

    second: int | None = None
    minute: int | None = None
    hour: int | None = None
    day: int | None = None


def effective_limits(plan: Limits, override: Limits | None) -> Limits:
    """For each window the override's limit, and the plan's where the override says nothing."""
    if override is None:
        return plan
    chosen = {w: getattr(override, w) or getattr(plan, w) for w in WINDOWS}
    return Limits(**chosen)


def kong_windows(limits: Limits) -> dict[str, int]:
    """The windows with a limit, none above that of a longer window.

    Kong refuses a shorter window with the higher limit. Lowering it changes nothing for a caller: within the shorter
    window nobody could have made more calls than the longer one allows.
    """
    allowed: dict[str, int] = {}
    ceiling: int | None = None
    for window in reversed(WINDOWS):
        limit: int | None = getattr(limits, window)
        if limit is None:
            continue
        ceiling = limit if ceiling is None else min(limit, ceiling)
        allowed[window] = ceiling
    return {window: allowed[window] for window in WINDOWS if window in allowed}
