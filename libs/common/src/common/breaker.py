"""A circuit breaker: a dead neighbour is not asked again at every call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import Unavailable


class CircuitOpen(Unavailable):
    """The last calls failed; this one was not made."""

    code = "CIRCUIT_OPEN"


class Breaker:
    """Opens after `failures` consecutive failures; after `reset_seconds` one call is let through to try.

    `monotonic` gives seconds that never go back.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        reset_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._reset_seconds, self._monotonic = failures, reset_seconds, monotonic
        self._failed, self._closed_at = 0, 0.0

    @contextmanager
    def guard(self, *, on: type[Exception] | tuple[type[Exception], ...] = Exception) -> Iterator[None]:
        """Run a call; an `on` error counts as a failure, success or any other error closes the circuit."""
        if self._failed >= self._limit and self._monotonic() < self._closed_at:
            raise CircuitOpen("The system behind this call does not answer at the moment; try again later.")
        # The one that tries keeps others out meanwhile.
        self._closed_at = self._monotonic() + self._reset_seconds
        try:
            yield
        except on:
            self._failed += 1
            self._closed_at = self._monotonic() + self._reset_seconds
            raise
        except Exception:
            self._failed = 0
            raise
        self._failed = 0
