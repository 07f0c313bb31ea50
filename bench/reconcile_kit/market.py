"""A marketplace of many subscriptions on one gateway, and what is done to it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from rich.progress import Progress

from bench.reconcile_kit.report import spread
from common.clock import SystemClock
from common.db import Database
from common.ids import derived_id
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.db import copies
from kong_sync.domain.edge import NOWHERE
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import Api, ApiSettings, ApiVersion, Key, Phase, Subscription
from kong_sync.domain.report import Outcome, PassReport
from kong_sync.usecases.reconcile import reconcile

APIS, PAGE, BUSY = 10, 500, 300
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
Row = Api | ApiVersion | Subscription | Key
PUT: dict[type, Callable[..., Awaitable[None]]] = {
    Api: copies.put_api, ApiVersion: copies.put_version, Subscription: copies.put_subscription, Key: copies.put_key,
}  # fmt: skip
Pass = asyncio.Task[tuple[PassReport, float]]


class Watched(KongAdmin):
    """A client that counts its calls, and knows when Kong said yes to the last write for each owner."""

    def __init__(self, url: str, heard: Callable[[], None]) -> None:
        super().__init__(url, timeout_seconds=60, on_call=self._count)
        self.calls = 0
        self.heard = heard
        self.written: dict[Owner, float] = {}
        self.ended: dict[Owner, asyncio.Future[float]] = {}

    def _count(self, *_: str) -> None:
        self.calls += 1

    async def put(self, entity: Entity) -> None:
        await super().put(entity)
        self.written[entity.owner] = time.perf_counter()
        self.heard()

    async def delete(self, entity: Entity) -> None:
        await super().delete(entity)
        self.written[entity.owner] = time.perf_counter()
        self.heard()
        waiting = self.ended.pop(entity.owner, None)
        if waiting is not None and entity.kind in {Kind.ACL, Kind.CREDENTIAL}:
            waiting.set_result(self.written[entity.owner])


def market(namespace: str, many: int) -> Iterator[Row]:
    """The rows of ten APIs and `many` subscriptions with a key each."""

    def id_(*parts: object) -> str:
        return str(derived_id("bench", namespace, *map(str, parts)))

    for number in range(APIS):
        api = Api(
            id=id_("api", number), version=1, provider_id=id_("provider", number),
            provider_slug=f"{namespace}-{number}", slug="things", base_url=NOWHERE, status="published",
            latest_version="v1",
        )  # fmt: skip
        yield api
        yield ApiVersion(
            id=id_("version", number), version=1, api_id=api.id, name="v1", state="active", is_latest=True
        )
    for number in range(many):
        subscription = Subscription(
            id=id_("subscription", number), version=1, organisation_id=id_("buyer", number),
            provider_id=id_("provider", number % APIS), api_id=id_("api", number % APIS), plan_version_id=id_("plan"),
            status="active", phases=(Phase(id_("plan"), SINCE, None, Limits(second=10, hour=10_000)),),
        )  # fmt: skip
        yield subscription
        yield Key(
            id=id_("key", number), version=1, subscription_id=subscription.id,
            sha256=hashlib.sha256(subscription.id.encode()).hexdigest(), mode="live", status="active",
            expires_at=None, changed_at=SINCE,
        )  # fmt: skip


@dataclass
class Bench:
    """One marketplace on one gateway."""

    db: Database
    gateway: Gateway
    admin: Watched
    progress: Progress
    apis: list[Api] = field(default_factory=list)
    subscriptions: list[Subscription] = field(default_factory=list)
    sold: list[Key] = field(default_factory=list)  # each subscription's first
    keys: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)  # as the reader of events sets it

    async def tell(self, rows: Iterable[Row]) -> None:
        """Our copies hold these rows, as after the events that told of them."""
        async with self.db.begin() as session:
            for row in rows:
                await PUT[type(row)](session, row)

    async def fill(self, namespace: str, many: int) -> None:
        """The marketplace stands in our copies, and nothing of it in the gateway."""
        rows = list(market(namespace, many))
        self.apis = [row for row in rows if isinstance(row, Api)]
        self.subscriptions = [row for row in rows if isinstance(row, Subscription)]
        self.sold = [row for row in rows if isinstance(row, Key)]
        task = self.progress.add_task("Rows", total=len(rows))
        for start in range(0, len(rows), PAGE):
            await self.tell(rows[start : start + PAGE])
            self.progress.advance(task, PAGE)
        self.progress.remove_task(task)

    async def reconcile(self, *, sweep: bool) -> tuple[PassReport, float]:
        """A pass, and the seconds that it took; SystemExit when it did not go to its end."""
        began = time.perf_counter()
        report = await reconcile(
            self.db, self.gateway, clock=SystemClock(), stop=asyncio.Event(), sweep=sweep, interrupt=self.wake
        )
        if report.outcome not in {Outcome.APPLIED, Outcome.EQUAL}:
            raise SystemExit(f"A pass ended {report.outcome}: {report.error or dict(report.failures)}")
        return report, time.perf_counter() - began

    def kinds(self) -> dict[str, Callable[[int], Row]]:
        """One change of each kind, of the subscription or the API with that number."""

        def limits(number: int) -> Row:
            one = self.subscriptions[number]
            first = replace(one.phases[0], limits=Limits(second=11 + one.version, hour=10_000))
            return self._newer(number, phases=(first,))

        def key(number: int) -> Row:
            one, self.keys = self.subscriptions[number], self.keys + 1
            digest = hashlib.sha256(f"{one.id} {self.keys}".encode()).hexdigest()
            id_ = str(derived_id("bench", "further key", one.id, str(self.keys)))
            return Key(id_, 1, one.id, digest, "live", "active", None, SINCE)

        def api(number: int) -> Row:
            place = number % len(self.apis)
            one = self.apis[place]
            settings = ApiSettings(read_ms=60_000 + one.version)
            self.apis[place] = replace(one, version=one.version + 1, settings=settings)
            return self.apis[place]

        def stop(number: int) -> Row:
            return self._newer(number, status="paused")

        return {"limits": limits, "key": key, "api": api, "stop": stop}

    def _newer(self, number: int, **values: Any) -> Subscription:
        one = self.subscriptions[number]
        self.subscriptions[number] = replace(one, version=one.version + 1, **values)
        return self.subscriptions[number]

    async def changes(self, times: int) -> dict[str, dict[str, Any]]:
        """By kind: calls, and seconds from before the commit to Kong's last yes, and to the end (`live`, and told)."""
        found: dict[str, dict[str, Any]] = {}
        task = self.progress.add_task("Single changes", total=4 * times)
        for kind, make in self.kinds().items():
            calls, applied, live = set(), [], []
            for number in range(times):
                before, began = self.admin.calls, time.perf_counter()
                row = make(number % len(self.subscriptions))
                await self.tell([row])
                await self.reconcile(sweep=False)
                live.append(time.perf_counter() - began)
                concern = Concern.API if isinstance(row, Api) else Concern.SUBSCRIPTION
                owner = Owner(concern, row.subscription_id if isinstance(row, Key) else row.id)
                applied.append(self.admin.written[owner] - began)
                calls.add(self.admin.calls - before)
                self.progress.advance(task)
            found[kind] = {"calls": max(calls), "applied_s": spread(applied), "live_s": spread(live)}
        self.progress.remove_task(task)
        return found

    async def stops_beside_changes(self, times: int, *, of_key: bool = False) -> list[float]:
        """Seconds from before the commit of a stop (or a key's end) to the end of access, while others are written."""
        busy = range(min(BUSY, len(self.subscriptions) // 2))

        async def change() -> Pass:
            await self.tell(self.kinds()["limits"](n) for n in busy)
            return asyncio.create_task(self.reconcile(sweep=False))

        return await self._stops(times, "Stops among other changes", change, of_key=of_key)

    async def stops_beside_sweeps(self, times: int) -> list[float]:
        """The same while all of the gateway is being looked through."""

        async def sweep() -> Pass:
            return asyncio.create_task(self.reconcile(sweep=True))

        return await self._stops(times, "Stops beside a sweep", sweep)

    async def _stops(
        self, times: int, name: str, begin: Callable[[], Awaitable[Pass]], *, of_key: bool = False
    ) -> list[float]:
        took: list[float] = []
        task = self.progress.add_task(name, total=times)
        running: Pass | None = None
        candidates = iter([n for n, one in enumerate(self.subscriptions) if one.status == "active"][-times:])
        for number in candidates:
            if running is None or running.done():
                if running:
                    await running
                seen = self.admin.calls
                running = await begin()
                while self.admin.calls == seen and not running.done():
                    await asyncio.sleep(0.01)
            ended = asyncio.get_running_loop().create_future()
            self.admin.ended[Owner(Concern.SUBSCRIPTION, self.subscriptions[number].id)] = ended
            began = time.perf_counter()
            paused = self._newer(number, status="paused")
            await self.tell([replace(self.sold[number], version=2, status="revoked") if of_key else paused])
            self.wake.set()
            await asyncio.wait({ended, running}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():  # noted as the pass ended: the worker would start the next at once
                await running
                await self.reconcile(sweep=False)
            took.append(await ended - began)
            self.progress.advance(task)
        if running:
            await running
        await self.reconcile(sweep=False)
        self.progress.remove_task(task)
        return took
