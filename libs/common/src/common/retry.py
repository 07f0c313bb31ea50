"""Bounded retries with jitter for calls to the outside."""

from __future__ import annotations

from collections.abc import AsyncIterator

import stamina


def retrying(
    *, on: type[Exception] | tuple[type[Exception], ...], attempts: int = 4, seconds: float = 20.0
) -> AsyncIterator[stamina.Attempt]:
    """Attempts of one call, each entered as a context: an `on` error leads to the next attempt, others are raised.

    At most `attempts` in at most `seconds`; waits start at 0.1 s and double, with jitter; the last error is raised.
    """
    return aiter(
        stamina.retry_context(on=on, attempts=attempts, timeout=seconds, wait_initial=0.1, wait_max=5.0)
    )
