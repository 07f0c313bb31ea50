"""The double's time: real time plus what the clock control has added."""

from collections.abc import Callable

from devstack.stripe.store import Store


class Clock:
    """Its offset is kept, so that a restart does not jump back. Signatures always use real time."""

    def __init__(self, store: Store, wall_clock: Callable[[], float]) -> None:
        self._store = store
        self._wall_clock = wall_clock

    def now(self) -> int:
        return int(self._wall_clock()) + int(self._store.setting("clock_offset", 0))

    def advance(self, seconds: int) -> int:
        with self._store.transaction():
            self._store.set_setting("clock_offset", int(self._store.setting("clock_offset", 0)) + seconds)
        return self.now()
