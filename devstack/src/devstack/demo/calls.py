"""The client's calls through the proxy, and its own journal of them: the demo's first oracle."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import httpx

Outcome = Literal["answered", "not_sent", "unknown"]
_CONCURRENCY = 8


@dataclass(frozen=True, slots=True)
class Planned:
    """A call to make. `keyed` calls carry the real key, and are the ones that metering attributes."""

    kind: str
    method: str
    path: str
    key: str | None
    keyed: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made. A cut connection is `unknown`: the upstream's journal decides what became of it."""

    kind: str
    keyed: bool
    outcome: Outcome
    status: int | None
    request_id: str | None
    code: str | None


class Client:
    """Makes calls, one attempt each, and writes down what came of every one."""

    def __init__(self, proxy: str, journal: Path) -> None:
        self._http = httpx.AsyncClient(base_url=proxy, timeout=20.0, limits=httpx.Limits(max_connections=64))
        self._file = journal.open("a", encoding="utf-8")
        self.made: list[Made] = []
        self.in_flight = 0

    async def close(self) -> None:
        """The journal is complete."""
        await self._http.aclose()
        self._file.close()

    async def call(self, planned: Planned) -> Made:
        """Make one call."""
        headers = dict(planned.headers) | ({"X-API-Key": planned.key} if planned.key else {})
        self.in_flight += 1
        try:
            response = await self._http.request(
                planned.method, planned.path, headers=headers, content=planned.body
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            made = Made(planned.kind, planned.keyed, "not_sent", None, None, None)
        except httpx.TransportError:
            made = Made(planned.kind, planned.keyed, "unknown", None, None, None)
        else:
            request_id = response.headers.get("x-kong-request-id") or response.headers.get("x-request-id")
            code = response.headers.get("x-error-code")
            made = Made(planned.kind, planned.keyed, "answered", response.status_code, request_id, code)
        finally:
            self.in_flight -= 1
        self.made.append(made)
        self._file.write(json.dumps(asdict(made) | {"at": time.time()}) + "\n")
        self._file.flush()
        return made

    async def burst(self, planned: Sequence[Planned]) -> None:
        """Make all of them at once."""
        await asyncio.gather(*(self.call(one) for one in planned))

    async def paced(self, planned: Iterable[Planned], *, per_second: float) -> None:
        """Make them one after the other, so many a second, up to eight at a time."""
        slots = asyncio.Semaphore(_CONCURRENCY)

        async def one(call: Planned) -> None:
            try:
                await self.call(call)
            finally:
                slots.release()

        async with asyncio.TaskGroup() as group:
            for call in planned:
                await slots.acquire()
                group.create_task(one(call))
                await asyncio.sleep(1 / per_second)

    def by_status(self) -> dict[str, int]:
        """How often each status was answered."""
        counted = Counter(str(made.status) for made in self.made if made.status)
        return dict(sorted(counted.items()))

    def keyed_answers(self) -> int:
        """How many answers metering has to attribute to the subscription."""
        return sum(made.keyed and made.outcome == "answered" for made in self.made)

    def count(self, outcome: Outcome) -> int:
        """How many calls ended so."""
        return sum(made.outcome == outcome for made in self.made)


def again_while(planned: Sequence[Planned], running: Callable[[], bool], *, most: int) -> Iterator[Planned]:
    """The planned calls once, and then again and again as long as `running`, up to `most` calls."""
    for number, call in enumerate(itertools.islice(itertools.cycle(planned), most)):
        if number >= len(planned) and not running():
            return
        yield call


def plan(
    base: str, operations: Sequence[tuple[str, str, str | None]], key: str, *, good: int, seed: int
) -> tuple[list[Planned], list[Planned]]:
    """The calls to pace (good, not found, failing upstream, wrong and missing keys) and the burst over the limit.

    `base` is the API's proxy path, `operations` are (method, path, body) that the upstream answers.
    """
    chosen = itertools.cycle(operations)

    def good_call(kind: str) -> Planned:
        method, path, body = next(chosen)
        headers = (("Content-Type", "application/json"),) if body else ()
        return Planned(kind, method, base + path, key, headers=headers, body=body)

    paced = [good_call("good") for _ in range(good)]
    paced += [Planned("not_found", "GET", f"{base}/no/such/operation", key) for _ in range(good // 8)]
    failing = (("X-Simulate-Status", "503"),)
    method, path, _ = next(operation for operation in operations if operation[0] == "GET")
    paced += [Planned("upstream_error", method, base + path, key, headers=failing) for _ in range(good // 8)]
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    paced += [Planned("wrong_key", method, base + path, wrong, keyed=False) for _ in range(good // 16)]
    paced += [Planned("no_key", method, base + path, None, keyed=False) for _ in range(good // 16)]
    random.Random(seed).shuffle(paced)
    return paced, [good_call("burst") for _ in range(90)]
