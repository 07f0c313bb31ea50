"""What kong-sync takes to fill a gateway, to look through it, and to bring one change to it; decK beside it.

N subscriptions (a consumer, its limits, its access, its key: four entities each) among ten APIs. kong-sync's own use
cases run in this process, on a PostgreSQL of their own, from the commit of an event on; Kafka is not in it. Where
`deck` is on PATH, it does the same on the same gateway in the same run, and the ratios are shown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.gateway import LUA, double, ended_by_sigterm, reachable
from common.clock import SystemClock
from common.db import Database
from common.ids import derived_id
from common.log import configure_logging
from devstack.embedded import databases, ports, postgres, privileges
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.clients.kong_proxy import KongProxy
from kong_sync.clients.lua_files import read_lua
from kong_sync.db import copies
from kong_sync.domain.edge import NOWHERE, Edge
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import Api, ApiSettings, ApiVersion, Key, Phase, Subscription
from kong_sync.domain.report import Outcome, PassReport
from kong_sync.settings import Settings
from kong_sync.usecases.export_state import export_state
from kong_sync.usecases.reconcile import reconcile

HOME = Path(__file__).parents[1]
APIS, PAGE, BUSY = 10, 500, 300
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
Row = Api | ApiVersion | Subscription | Key
PUT: dict[type, Callable[..., Awaitable[None]]] = {
    Api: copies.put_api, ApiVersion: copies.put_version, Subscription: copies.put_subscription, Key: copies.put_key,
}  # fmt: skip


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
        if waiting is not None and entity.kind is Kind.ACL:
            waiting.set_result(self.written[entity.owner])


@dataclass
class Peak:
    """The most memory that a process took while it was watched, in MiB."""

    process: psutil.Process
    mib: float = 0.0

    async def watch(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while True:
                self.mib = max(self.mib, self.process.memory_info().rss / 2**20)
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def peak_of(pid: int) -> AsyncIterator[Peak]:
    """The memory of the process while the block runs."""
    peak = Peak(psutil.Process(pid))
    watching = asyncio.create_task(peak.watch())
    try:
        yield peak
    finally:
        watching.cancel()


@contextlib.asynccontextmanager
async def database() -> AsyncIterator[str]:
    """The URL of a database of kong-sync's, on a server of its own that is gone afterwards."""
    shared = privileges.data_root(HOME / ".run")
    shared.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="marketplace-bench-"))
    home.chmod(0o755)
    server = postgres.Postgres(
        home / "data", postgres.binaries(shared), ports.free_port(), secrets.token_hex(8)
    )
    process: subprocess.Popen[bytes] | None = None
    try:
        await asyncio.to_thread(server.initialise)
        process = server.start(home / "log")
        await databases.wait_ready(server.url)
        await databases.provision(server.url, "kong_sync", server.password)
        urls = databases.urls(
            "kong_sync", port=server.port, password=server.password, superuser_password=server.password
        )
        wanted = f"{HOME / 'services' / 'kong-sync' / 'alembic.ini'}=DATABASE_OWNER_URL"
        environment = {**os.environ, "DATABASE_OWNER_URL": urls.owner}  # noqa: TID251 - a child process
        migrating = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "common.migrations", wanted, env=environment, stderr=subprocess.DEVNULL
        )
        if await migrating.wait():
            raise SystemExit("The migrations of kong-sync failed.")
        yield urls.worker
    finally:
        if process is not None:
            postgres.Postgres.stop(process)
        shutil.rmtree(home, ignore_errors=True)


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

    async def stops(self, times: int) -> list[float]:
        """Seconds from before the commit of a stop to the end of access, while other changes are being written."""
        took: list[float] = []
        task = self.progress.add_task("Stops among other changes", total=times)
        others = self.kinds()["limits"]
        running: asyncio.Task[Any] | None = None
        candidates = iter([n for n, one in enumerate(self.subscriptions) if one.status == "active"][-times:])
        busy = range(min(BUSY, len(self.subscriptions) // 2))
        for number in candidates:
            if running is None or running.done():
                if running:
                    await running
                await self.tell(others(n) for n in busy)
                running = asyncio.create_task(self.reconcile(sweep=False))
                seen = self.admin.calls
                while self.admin.calls == seen and not running.done():
                    await asyncio.sleep(0.01)
            ended = asyncio.get_running_loop().create_future()
            self.admin.ended[Owner(Concern.SUBSCRIPTION, self.subscriptions[number].id)] = ended
            began = time.perf_counter()
            await self.tell([self._newer(number, status="paused")])
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


def spread(seconds: list[float]) -> dict[str, float]:
    """The median and the p99."""
    if len(seconds) < 2:
        return {"p50": round(seconds[0], 4), "p99": round(seconds[0], 4)}
    p99 = quantiles(seconds, n=100, method="inclusive")[98]
    return {"p50": round(median(seconds), 4), "p99": round(p99, 4)}


async def empty(admin: KongAdmin, edge: Edge, progress: Progress) -> None:
    """Nothing of this namespace stands in the gateway."""
    dump = await admin.dump(edge.selector)
    for kind in (Kind.ROUTE, Kind.CONSUMER, Kind.PLUGIN, Kind.SERVICE):
        # with a consumer goes all that hangs on it
        left = [one for one in dump[kind] if not (kind is Kind.PLUGIN and one.get("consumer"))]
        task = progress.add_task(f"Removing {kind}", total=len(left))
        rows = iter(left)

        async def remove(
            rows: Iterator[dict[str, Any]] = rows, kind: Kind = kind, task: TaskID = task
        ) -> None:
            for one in rows:
                await admin.delete(Entity(kind, one["id"], Owner(Concern.PLATFORM), one))
                progress.advance(task)

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(remove())
        progress.remove_task(task)


@dataclass
class Deck:
    """The peer: one run of it is one process."""

    program: str
    url: str
    edge: Edge
    folder: Path
    peak_mib: float = 0.0

    async def run(self, command: str, text: str, *, expect: int = 0) -> float:
        """`deck gateway COMMAND` with a file of this text; the seconds that it took."""
        file = self.folder / "deck.yaml"
        file.write_text(text, encoding="utf-8")
        arguments = [
            "gateway",
            command,
            str(file),
            "--kong-addr",
            self.url,
            "--analytics=false",
            "--no-color",
        ]
        arguments += [
            "--timeout",
            "60",
            *(["--silence-events"] if command == "sync" else ["--non-zero-exit-code"]),
        ]
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            self.program, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            async with peak_of(process.pid) as peak:
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self.peak_mib = max(self.peak_mib, peak.mib)
        if process.returncode != expect:
            raise SystemExit(f"deck gateway {command}: {process.returncode}\n{said.decode()[-2000:]}")
        return time.perf_counter() - began


async def measure_deck(bench: Bench, deck: Deck, times: int) -> dict[str, Any]:
    """What decK takes for the same, on what stands there now; afterwards nothing of ours stands there."""
    progress, now = bench.progress, SystemClock().now()
    task = progress.add_task("decK", total=None)
    text = await export_state(bench.db, bench.gateway, now=now)
    sweep = await deck.run("diff", text)
    changes = []
    for _ in range(times):
        await bench.tell([bench.kinds()["limits"](0)])
        text = await export_state(bench.db, bench.gateway, now=now)
        changes.append(await deck.run("sync", text))
    await empty(bench.admin, bench.gateway.edge, progress)
    first = await deck.run("sync", text)
    progress.remove_task(task)
    await empty(bench.admin, bench.gateway.edge, progress)
    return {
        "first_s": round(first, 3), "sweep_s": round(sweep, 3), "change_s": round(median(changes), 3),
        "memory_mib": round(deck.peak_mib),
    }  # fmt: skip


async def measure(
    many: int, *, bench: Bench, namespace: str, deck: Deck | None, given: argparse.Namespace
) -> dict[str, Any]:
    """All figures of one size."""
    progress, admin = bench.progress, bench.admin
    await bench.fill(namespace, many)
    gc.collect()
    async with peak_of(os.getpid()) as peak:
        writing = progress.add_task(f"{many:,} subscriptions: first provisioning", total=4 * many)
        admin.heard = lambda: progress.advance(writing)
        before = admin.calls
        _, first = await bench.reconcile(sweep=True)
        first_calls = admin.calls - before
        progress.remove_task(writing)
        admin.heard = lambda: None
        task, sweeps = progress.add_task("Sweeps without changes", total=given.sweeps), []
        before = admin.calls
        for _ in range(given.sweeps):
            report, seconds = await bench.reconcile(sweep=True)
            if report.outcome is not Outcome.EQUAL:
                raise SystemExit(
                    f"A sweep found something to do: {[str(c) for c in report.plan.changes][:9]}"
                )
            sweeps.append(seconds)
            progress.advance(task)
        sweep_calls = (admin.calls - before) // given.sweeps
        progress.remove_task(task)
        changes = await bench.changes(given.changes)
        stops = await bench.stops(given.stops)
    found: dict[str, Any] = {
        "first_s": round(first, 3), "sweep_s": round(median(sweeps), 3),
        "change_s": max(kind["live_s"]["p50"] for kind in changes.values()),
        "change_calls": max(kind["calls"] for kind in changes.values()),
        "applied_s": max((kind["applied_s"] for kind in changes.values()), key=lambda applied: applied["p99"]),
        "stop_s": {"alone": changes["stop"]["applied_s"], "beside": spread(stops)},
        "first_calls": first_calls, "sweep_calls": sweep_calls, "changes": changes,
        "memory_mib": round(peak.mib),
    }  # fmt: skip
    if deck:
        found["deck"] = await measure_deck(bench, deck, given.deck_changes)
        found["ratios"] = {
            name: round(found[name] / found["deck"][name], 3) for name in ("first_s", "sweep_s", "change_s")
        }
    return found


async def run(given: argparse.Namespace, console: Console) -> dict[str, Any]:
    """All sizes, one after the other on the same gateway."""
    source = read_lua(LUA, problem_base="/problems/", portal_url="")
    program = None if given.no_deck else shutil.which("deck")
    found: dict[str, Any] = {
        "gateway": given.admin or "double", "writes_at_once": given.writes_at_once, "deck": bool(program),
        "sizes": {},
    }  # fmt: skip
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with contextlib.AsyncExitStack() as stack:
        progress = stack.enter_context(Progress(*columns, console=console, transient=True))
        admin_url, proxy_url = (given.admin, given.proxy) if given.admin else stack.enter_context(double())
        for many in given.sizes:
            namespace = f"bench-{secrets.token_hex(4)}"
            edge = Edge(namespace=namespace, ingest_url=NOWHERE, lua=source, derive=derived_id)
            async with contextlib.AsyncExitStack() as one:
                starting = progress.add_task("A database", total=None)
                db = Database(await one.enter_async_context(database()), name="bench reconcile")
                one.push_async_callback(db.dispose)
                progress.remove_task(starting)
                admin = Watched(admin_url, lambda: None)
                one.push_async_callback(admin.close)
                await reachable(admin, admin_url)
                gateway = Gateway(
                    admin=admin, proxy=KongProxy(proxy_url), edge=edge, public_proxy_url=proxy_url,
                    writes_at_once=given.writes_at_once,
                )  # fmt: skip
                one.push_async_callback(gateway.proxy.close)
                folder = Path(one.enter_context(tempfile.TemporaryDirectory()))
                deck = Deck(program, admin_url, edge, folder) if program else None
                one.push_async_callback(empty, admin, edge, progress)
                bench = Bench(db, gateway, admin, progress)
                found["sizes"][str(many)] = await measure(
                    many, bench=bench, namespace=namespace, deck=deck, given=given
                )
    return found


def show(found: dict[str, Any]) -> None:
    """As a table, decK's seconds and the ratio to them where it was there."""
    table = Table("", *(f"{int(many):,} subscriptions" for many in found["sizes"]))
    sizes = list(found["sizes"].values())

    def line(name: str, cell: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(name, *(cell(size) for size in sizes))

    def against(size: dict[str, Any], name: str) -> str:
        if "deck" not in size:
            return f"{size[name]:.2f} s"
        return f"{size[name]:.2f} s, decK {size['deck'][name]:.2f} s: {size['ratios'][name]:.2f} times"

    def milliseconds(seconds: dict[str, float]) -> str:
        return f"{seconds['p50'] * 1e3:.0f} / {seconds['p99'] * 1e3:.0f} ms"

    for label, name in (("first", "first_s"), ("sweep", "sweep_s"), ("change, until live", "change_s")):
        line(label, lambda size, name=name: against(size, name))  # type: ignore[misc]
    line("calls: first, sweep", lambda size: f"{size['first_calls']:,}, {size['sweep_calls']:,}")
    for kind in sizes[0]["changes"]:
        for label, name in (("applied", "applied_s"), ("live", "live_s")):
            line(
                f"{kind}: event to {label}, p50 / p99",
                lambda size, kind=kind, name=name: milliseconds(size["changes"][kind][name]),  # type: ignore[misc]
            )
        line(f"{kind}: calls", lambda size, kind=kind: str(size["changes"][kind]["calls"]))  # type: ignore[misc]
    line("stop among other changes, p50 / p99", lambda size: milliseconds(size["stop_s"]["beside"]))
    line(
        "memory",
        lambda size: (
            f"{size['memory_mib']} MiB" + (f", decK {size['deck']['memory_mib']}" if "deck" in size else "")
        ),
    )
    Console(markup=False).print(table)
    print(
        f"Gateway: {found['gateway']}; {found['writes_at_once']} writes at once; load {os.getloadavg()[0]:.1f}."
    )
    if not found["deck"]:
        print("decK was not measured: there is no deck on PATH.")


def proxy_beside(admin: str) -> str:
    """Port 8000 of the Admin API's host."""
    return urlunsplit(("http", f"{urlsplit(admin).hostname}:8000", "", "", ""))


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench reconcile", description=__doc__.partition("\n")[0])
    parser.add_argument("--admin", help="the Admin API of a real Kong; default: a gateway double of our own")
    parser.add_argument("--proxy", help="its proxy; default: port 8000 of the same host")
    parser.add_argument("--sizes", default="1000,10000", help="numbers of subscriptions")
    parser.add_argument("--sweeps", type=int, default=3)
    parser.add_argument("--changes", type=int, default=40, help="single changes of each kind")
    parser.add_argument("--stops", type=int, default=40, help="among other changes")
    parser.add_argument("--deck-changes", type=int, default=1)
    parser.add_argument("--writes-at-once", type=int, default=Settings.model_fields["writes_at_once"].default)
    parser.add_argument("--no-deck", action="store_true", help="without the peer")
    parser.add_argument("--json", action="store_true", help="print the figures for machines")
    given = parser.parse_args()
    given.sizes = [int(size) for size in given.sizes.split(",")]
    if given.proxy and not given.admin:
        parser.error("--proxy belongs to --admin")
    if given.admin and not given.proxy:
        given.proxy = proxy_beside(given.admin)
    counts = [
        *given.sizes,
        given.sweeps,
        given.changes,
        given.stops,
        given.deck_changes,
        given.writes_at_once,
    ]
    if min(counts) < 1:
        parser.error("at least one of each")
    configure_logging("bench", "warning")  # not a line for each pass
    try:
        found = asyncio.run(ended_by_sigterm(run(given, Console(stderr=True))))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Interrupted; nothing was left in the gateway.", file=sys.stderr)
        return 130
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
