"""Calls made up from a seed, and a sender that behaves as a gateway's queue: it keeps a batch until it is answered."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

NAMESPACE = "marketplace"
INGEST_TOKEN = "ingest-token-of-the-faults"
_SUBSCRIPTIONS = 24
_LONGEST_WAIT = 0.5
Entry = dict[str, Any]
Batch = list[Entry]


@dataclass(slots=True)
class Calls:
    """Calls that a gateway would have logged, each with a request id of its own, all from one seed."""

    random: random.Random
    now: datetime
    made: dict[str, Entry] = field(default_factory=dict)
    subscriptions: list[str] = field(init=False)
    organisations: list[str] = field(init=False)
    hot: float = 0.0

    def __post_init__(self) -> None:
        self.subscriptions = [self._uuid() for _ in range(_SUBSCRIPTIONS)]
        self.organisations = [self._uuid() for _ in range(_SUBSCRIPTIONS)]

    def _uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def make(self, count: int, *, at: datetime | None = None) -> Batch:
        """`count` new calls of the last hours, or begun at `at`."""
        batch = [self._entry(at) for _ in range(count)]
        self.made |= {entry["request"]["id"]: entry for entry in batch}
        return batch

    def month_old(self, count: int) -> Batch:
        """`count` new calls that were made thirty days ago."""
        return self.make(count, at=self.now - timedelta(days=30))

    def batches(self, count: int, *, size: int = 60) -> list[Batch]:
        """`count` batches of new calls."""
        return [self.make(self.random.randint(1, 2 * size)) for _ in range(count)]

    def _entry(self, at: datetime | None) -> Entry:
        chosen = self.random
        number = 0 if chosen.random() < self.hot else chosen.randrange(_SUBSCRIPTIONS)
        subscription, api = self.subscriptions[number], UUID(int=number % 5 + 1)
        by_gateway = chosen.random() < 0.1
        status = (
            chosen.choice([429, 403, 503]) if by_gateway else chosen.choice([200, 200, 200, 201, 404, 500])
        )
        target = [f"ns:{NAMESPACE}", f"api:{api}", f"version:{api}", f"provider:{UUID(int=9)}"]
        payer = [f"ns:{NAMESPACE}", f"subscription:{subscription}", f"org:{self.organisations[number]}"]
        payer += [f"plan:{UUID(int=200 + number)}", f"api:{api}", f"provider:{UUID(int=9)}"]
        at = at or self.now - timedelta(seconds=chosen.randrange(6 * 3600))
        return {
            "started_at": int(at.timestamp() * 1000) // 1000 * 1000 + chosen.randrange(1000),
            "client_ip": "203.0.113.77",
            "request": {"id": f"{chosen.getrandbits(128):032x}", "method": "GET", "path": "/x", "size": 133},
            "response": {"status": status, "size": chosen.randrange(5000)},
            "latencies": {"request": 9, "proxy": -1 if by_gateway else 3, "kong": 6, "receive": 0},
            "source": "kong" if by_gateway else "upstream",
            "upstream_status": "" if by_gateway else str(status),
            "service": {"id": str(UUID(int=3)), "tags": target},
            "route": {"id": str(UUID(int=4)), "tags": target},
            "authenticated_entity": {"id": str(UUID(int=300 + number))},
            "consumer": {"custom_id": subscription, "tags": [*payer, f"mode:{'test' if number % 7 == 6 else 'live'}"]},
        }  # fmt: skip

    def again(self, batches: Sequence[Batch]) -> list[Batch]:
        """What queues send a second time: whole batches, batches cut at another place, and the order mixed."""
        repeated = [batch for batch in batches if self.random.random() < 0.3]
        flat = [entry for batch in batches for entry in batch]
        shifted = []
        for _ in range(len(batches) // 3):
            start = self.random.randrange(len(flat))
            shifted.append(flat[start : start + self.random.randint(1, 120)])
        mixed = [*batches, *repeated, *shifted]
        self.random.shuffle(mixed)
        return mixed


@dataclass(slots=True)
class Sender:
    """Posts batches to ingest, several at once, each until it is answered 2xx; keeps a journal of what was."""

    url: str
    http: httpx.AsyncClient
    open: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)
    refused: int = 0
    rejected: int = 0
    foreign: int = 0

    @property
    def in_flight(self) -> int:
        """Entries in POSTs that are open right now."""
        return self.open.total()

    async def send(self, batches: Iterable[Batch], *, at_once: int = 4) -> None:
        """Every batch was answered 2xx."""
        waiting = iter(list(batches))

        async def one() -> None:
            for batch in waiting:
                await self._post(batch)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(one())

    async def _post(self, batch: Batch) -> None:
        ids = [entry["request"]["id"] for entry in batch]
        answer = await self.post(batch, ids)
        if answer["rejected"] == 0:
            self.acknowledged.update(ids)

    async def post(self, body: Any, ids: Sequence[str] = ()) -> dict[str, Any]:
        """What ingest answered, after as many tries as it took. `body` is JSON, or bytes."""
        headers, wait = {"X-Ingest-Token": INGEST_TOKEN, "Content-Type": "application/json"}, 0.02
        content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        while True:
            self.open.update(ids)
            try:
                answer = await self.http.post(self.url, headers=headers, **content)
            except httpx.HTTPError:
                answer = None
            finally:
                self.open.subtract(ids)
            if answer is not None and answer.status_code < 300:
                found: dict[str, Any] = answer.json()
                self.rejected += found["rejected"]
                self.foreign += found["foreign"]
                return found
            if answer is not None and answer.status_code not in (500, 502, 503, 504):
                raise RuntimeError(f"ingest answered {answer.status_code}: {answer.text[:200]}")
            self.refused += 1
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)


def this_instant() -> datetime:
    """Now, to the second."""
    return datetime.now(UTC).replace(microsecond=0)  # noqa: DTZ005, TID251, RUF100
