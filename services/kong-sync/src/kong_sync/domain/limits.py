"""Rate limits: what a plan and an override allow, in the form that Kong's rate-limiting plugin accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

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


def at_most(limits: Limits, other: Limits) -> Limits:
    """For each window the lower of the two limits, where either has one."""
    chosen = {}
    for window in WINDOWS:
        named = [n for n in (getattr(limits, window), getattr(other, window)) if n is not None]
        chosen[window] = min(named, default=None)
    return Limits(**chosen)


def divided(limits: Limits, shares: Mapping[str, Limits | None]) -> tuple[Limits, dict[str, Limits]]:
    """What is left of `limits` beside `shares`, and the shares as they can be given out.

    A share without limits (None) gets as much as what is left. Together they are no more than `limits`; only where a
    smaller plan no longer has a call for each does each keep one, because Kong knows no limit of zero. A window without
    a limit is a share's own affair.
    """
    cut = {share_id: asdict(share) for share_id, share in sorted(shares.items()) if share}
    equal = {share_id: asdict(Limits()) for share_id, share in sorted(shares.items()) if not share}
    left, parts = asdict(limits), len(equal) + 1
    for window in WINDOWS:
        if left[window] is None:
            continue
        for share in cut.values():
            asked = share[window] if share[window] is not None else left[window]
            share[window] = max(min(asked, left[window] - parts), 1)
            left[window] = max(left[window] - share[window], 1)
        for share in equal.values():
            share[window] = max(left[window] // parts, 1)
        left[window] = max(left[window] - sum(share[window] for share in equal.values()), 1)
    return Limits(**left), {share_id: Limits(**share) for share_id, share in {**cut, **equal}.items()}


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
