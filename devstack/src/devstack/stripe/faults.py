"""The fault script: which of the coming calls fail, and how."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from devstack.stripe.errors import ApiError
from devstack.stripe.store import Json, Store

MODES = {
    "before": "the connection is cut before the call takes effect",
    "after": "the call takes effect, then the connection is cut before the answer",
    "hang": "the call waits `seconds`, then takes effect and answers if anybody still listens",
    "hang_after": "the call takes effect, then waits `seconds` before it answers",
    "500": "an error answer without an effect, repeated for the same idempotency key",
    "500_after": "the call takes effect and answers 500, repeated for the same idempotency key",
    "429": "rate limited, without an effect; the same key may be used again",
    "409": "as if another request with the same key were at work, without an effect",
}
# These strike the connection, so they strike a replayed answer as well.
CONNECTION_MODES = ("before", "after", "hang", "hang_after", "429", "409")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that strikes this call."""

    mode: str
    seconds: float


class FaultScript:
    """Faults in the order they were given; each strikes `times` matching calls after letting `skip` pass."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, wanted: Json) -> Json:
        match, mode = str(wanted.get("match", "")), str(wanted.get("mode", ""))
        if " " not in match or mode not in MODES:
            message = f"Give match 'METHOD /path/*' and a mode of {', '.join(MODES)}."
            raise ApiError(message)
        times, skip, seconds = (wanted.get(name, default) for name, default in _DEFAULTS.items())
        with self._store.transaction():
            self._store.connection.execute(
                "INSERT INTO fault (match, mode, times, skip, seconds) VALUES (?, ?, ?, ?, ?)",
                (match, mode, int(times), int(skip), float(seconds)),
            )
        return self.list_all()

    def list_all(self) -> Json:
        rows = self._store.connection.execute("SELECT * FROM fault ORDER BY id")
        return {"faults": [dict(row) for row in rows], "modes": MODES}

    def clear(self) -> Json:
        with self._store.transaction():
            self._store.connection.execute("DELETE FROM fault")
        return self.list_all()

    def take(self, method: str, path: str, *, replay: bool) -> Fault | None:
        """The fault that strikes this call, now used up by one. A replay is only struck on its connection."""
        rows = self._store.connection.execute(
            "SELECT * FROM fault WHERE fired < times ORDER BY id"
        ).fetchall()
        for row in rows:
            if not fnmatchcase(f"{method} {path}", row["match"]) or (
                replay and row["mode"] not in CONNECTION_MODES
            ):
                continue
            column = "skip = skip - 1" if row["skip"] > 0 else "fired = fired + 1"
            with self._store.transaction():
                self._store.connection.execute(f"UPDATE fault SET {column} WHERE id = ?", (row["id"],))
            if row["skip"] <= 0:
                return Fault(row["mode"], row["seconds"])
        return None


_DEFAULTS = {"times": 1, "skip": 0, "seconds": 30.0}


def server_error() -> ApiError:
    message = "An error occurred while processing your request. (Asked for by the fault script.)"
    return ApiError(message, status=500, kind="api_error", stored=True)


def rate_limited() -> ApiError:
    message = "Request rate limit exceeded. (Asked for by the fault script.)"
    return ApiError(message, status=429, code="rate_limit")
