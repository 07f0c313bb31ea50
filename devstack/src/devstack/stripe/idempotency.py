"""Idempotency keys: the first answer is the answer."""

import hashlib
import json
from dataclasses import dataclass

from devstack.stripe.errors import ApiError
from devstack.stripe.store import Json, Store

_KEPT_SECONDS = 24 * 3600
_MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request under a key: who asks, for what, with which parameters."""

    account: str
    key: str
    method: str
    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was answered the first time."""

    status: int
    body: Json
    request_id: str


def attempt(account: str, key: str, method: str, path: str, parameters: list[tuple[str, str]]) -> Attempt:
    if len(key) > _MAX_KEY_LENGTH:
        raise ApiError(
            f"Idempotency keys have at most {_MAX_KEY_LENGTH} characters.", kind="idempotency_error"
        )
    digest = hashlib.sha256(json.dumps(parameters).encode()).hexdigest()
    return Attempt(account, key, method, path, digest)


class Ledger:
    """The answers given under keys. A request at work is known in memory only: its effects are not committed
    either, so a crash forgets both."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: set[tuple[str, str]] = set()

    def recorded(self, asked: Attempt, now: int) -> Recorded | None:
        """The first answer, if there was one; raises idempotency_error when the request is another one."""
        row = self._store.connection.execute(
            "SELECT * FROM idempotency WHERE account = ? AND key = ? AND created > ?",
            (asked.account, asked.key, now - _KEPT_SECONDS),
        ).fetchone()
        if row is None:
            return None
        if (row["method"], row["path"]) != (asked.method, asked.path):
            raise ApiError(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{row['path']}'). Try using a key other than '{asked.key}' if you meant to execute a different "
                "request.",
                kind="idempotency_error",
            )
        if row["digest"] != asked.digest:
            raise ApiError(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{asked.key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        return Recorded(row["status"], json.loads(row["body"]), row["request_id"])

    def record(self, asked: Attempt, answer: Recorded, now: int) -> None:
        """To be called in the transaction that holds the effects."""
        self._store.connection.execute(
            "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                asked.account,
                asked.key,
                asked.method,
                asked.path,
                asked.digest,
                answer.status,
                json.dumps(answer.body),
                answer.request_id,
                now,
            ),
        )

    def begin(self, asked: Attempt) -> None:
        """The request is at work; raises 409 if one with this key already is."""
        if (asked.account, asked.key) in self._running:
            raise key_in_use(asked.key)
        self._running.add((asked.account, asked.key))

    def end(self, asked: Attempt) -> None:
        self._running.discard((asked.account, asked.key))


def key_in_use(key: str) -> ApiError:
    return ApiError(
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later.",
        status=409,
        kind="idempotency_error",
        code="idempotency_key_in_use",
    )
