"""What hashing keys, rewriting errors and telling who calls add to a call through the gateway, as ratios.

The same upstream through three services: (a) a plain route, (b) with key-auth and acl, (c) with our pre- and
post-function before and behind them, as kong-sync attaches them. They are asked in turn, round by round, on one
connection each; a ratio is taken within its round, and the middle one of all rounds is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from lupa.luajit21 import LuaRuntime
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from common.ids import derived_id
from devstack.embedded.ports import free_port
from kong_sync.clients.errors import KongUnavailable
from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.clients.lua_files import read_lua
from kong_sync.domain.canary import probe_key
from kong_sync.domain.edge import Edge, LuaSource, address
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.served import guards

T = TypeVar("T")
LUA = Path(__file__).parents[1] / "gateway" / "lua"
KIT = Path(__file__).with_name("gateway_kit.lua")
SERVICES = {"a": "(a) plain route", "b": "(b) key-auth, acl", "c": "(c) and ours"}
OWNER = Owner(Concern.PLATFORM, "bench")
PATIENCE_SECONDS, FRESH_CONNECTIONS = 20.0, 8


@dataclass
class Case:
    """One kind of call, and the seconds that each took, round by round."""

    service: str
    status: int
    request: bytes
    rounds: list[list[float]] = field(default_factory=list)

    @property
    def took(self) -> list[float]:
        return [seconds for one in self.rounds for seconds in one]

    def ratio(self, other: Case) -> tuple[float, float]:
        """Of the medians and of the p95, in multiples of the other case in the same round."""
        pairs = list(zip(self.rounds, other.rounds, strict=True))
        return (
            median(median(mine) / median(theirs) for mine, theirs in pairs),
            median(p95(mine) / p95(theirs) for mine, theirs in pairs),
        )


def p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20, method="inclusive")[-1]


class Connection:
    """One connection to the proxy, opened anew when the gateway closes it."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        self._at = (at.hostname, at.port or 80)
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> Self:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._at)
        return self

    async def call(self, request: bytes) -> int:
        """The status of the answer, which was read to its end."""
        assert self._writer is not None
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in head:
            await self._reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await self._reader.readexactly(int(length or 0))
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The upstream: 200 and a short body, on connections that stay open."""
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}'
    )
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
    writer.close()


def entities(edge: Edge, upstream: str, keys: dict[str, str]) -> Iterator[Entity]:
    """The three services, and the one consumer that may call them, parents first."""
    group, api = f"bench_{edge.namespace}", edge.id_of("api")
    names = {"username": f"{edge.namespace}.caller"}
    tags = tuple(f"{name}:{edge.id_of(name)}" for name in ("org", "subscription", "plan", "api"))
    consumer = edge.entity(Kind.CONSUMER, "consumer.bench", OWNER, names, tags=tags)
    yield consumer
    yield edge.entity(Kind.ACL, "acl.bench", OWNER, {"group": group, "consumer": {"id": consumer.id}})
    for name, key in keys.items():
        fields = {"key": key, "consumer": {"id": consumer.id}}
        yield edge.entity(Kind.CREDENTIAL, f"credential.{name}", OWNER, fields)
    for name in SERVICES:
        fields = {"name": f"{edge.namespace}.{name}", **address(upstream), "retries": 0}
        service = edge.entity(Kind.SERVICE, f"service.{name}", OWNER, fields, tags=(f"api:{api}", "epoch:1"))
        yield service
        for plugin in guards(edge, f"plugin.{name}", OWNER, service.id, group=group):
            if name == "c" or (name == "b" and plugin.fields["name"] in {"key-auth", "acl"}):
                yield plugin
        path = {"paths": [f"/{edge.namespace}/{name}/"], "service": {"id": service.id}}
        yield edge.entity(Kind.ROUTE, f"route.{name}", OWNER, {"name": f"{edge.namespace}.{name}", **path})


@contextlib.asynccontextmanager
async def provisioned(admin: KongAdmin, wanted: list[Entity]) -> AsyncIterator[None]:
    """All of it stands in the gateway, and afterwards none of it."""
    done: list[Entity] = []
    try:
        for entity in wanted:
            done.append(entity)  # a write that failed may have taken effect
            await admin.put(entity)
        yield
    finally:
        for entity in reversed(done):
            await admin.delete(entity)
        await admin.close()


async def loaded(proxy: str, cases: list[Case]) -> None:
    """Every case is answered as it should be, on several fresh connections in a row; TimeoutError if not in time."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for case in cases:
            in_a_row = 0
            while in_a_row < FRESH_CONNECTIONS:
                connection = await Connection(proxy).open()
                status = await connection.call(case.request)
                connection.close()
                in_a_row = in_a_row + 1 if status == case.status else 0
                if not in_a_row:
                    await asyncio.sleep(0.1)


async def measure(proxy: str, cases: list[Case], *, rounds: int, calls: int, console: Console) -> None:
    """Each case was called `calls` times in each of `rounds` rounds; every round begins with another case."""
    connections = [await Connection(proxy).open() for _ in cases]
    with Progress(console=console, transient=True) as progress:
        for number in progress.track(range(rounds + 1), description="Calls through the gateway"):
            for place in range(len(cases)):
                index = (place + number) % len(cases)
                case, took = cases[index], []
                for _ in range(calls):
                    connection = await connections[index].open()
                    began = time.perf_counter()
                    status = await connection.call(case.request)
                    took.append(time.perf_counter() - began)
                    if status != case.status:
                        raise SystemExit(f"{SERVICES[case.service]}: {status} instead of {case.status}")
                if number:  # the first round warms up
                    case.rounds.append(took)
    for connection in connections:
        connection.close()


@contextlib.contextmanager
def double() -> Iterator[tuple[str, str]]:
    """The two addresses of a gateway double of our own."""
    admin, proxy = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "devstack.kong", "--state", folder]
        command += ["--admin-port", str(admin), "--proxy-port", str(proxy)]
        environment = {
            **os.environ,  # noqa: TID251 - a child process
            "KONG_UNTRUSTED_LUA_SANDBOX_REQUIRES": "resty.sha256,resty.string,resty.openssl.hmac",
            "UPSTREAM_MASTER": secrets.token_hex(32),
        }
        quiet = subprocess.DEVNULL
        # a session of its own: Ctrl-C is for us, and we still need it then
        process = subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=quiet, stderr=quiet
        )
        try:
            yield f"http://127.0.0.1:{admin}", f"http://127.0.0.1:{proxy}"
        finally:
            process.terminate()
            process.wait()


async def ended_by_sigterm(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; SIGTERM cancels it, as Ctrl-C does, so that it puts away what it started and wrote."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


async def reachable(admin: KongAdmin, url: str) -> None:
    """The Admin API answers; SystemExit when it does not for some seconds."""
    for attempt in range(60):
        try:
            await admin.node()
        except KongUnavailable as error:
            if attempt == 59:
                raise SystemExit(f"No Kong at {url}: {error.problem}") from error
            await asyncio.sleep(0.1)
        else:
            return


def _raw(text: str) -> bytes:
    return text.encode("latin-1")


# What OpenSSL and nginx do for Kong, done by Python for LuaJIT.
HOST: dict[str, Callable[..., Any]] = {
    "digest_hex": lambda text: hashlib.sha256(_raw(text)).hexdigest(),
    "crc32": lambda text: zlib.crc32(_raw(text)),
    "hmac": lambda key, text: hmac.digest(_raw(key), _raw(text), "sha256").decode("latin-1"),
    "base64": lambda text, _=None: base64.b64encode(_raw(text)).decode().rstrip("="),
}


def lua_cost(source: LuaSource, *, times: int) -> dict[str, float]:
    """Microseconds of processor time that our functions take in LuaJIT, for a call that passes and one refused."""

    lua = LuaRuntime(encoding="latin-1", unpack_returned_tuples=True, register_eval=False)
    compile_, run = lua.execute(KIT.read_text(encoding="utf-8"))(lua.table_from(HOST), probe_key("bench"))
    texts = [source.pre_access, source.post_access]
    texts += [source.pre_header_filter, source.header_filter, source.body_filter]
    functions = lua.table_from([compile_(text) for text in texts])
    if "INVALID_API_KEY" not in str(run(functions, 401, 1)) or run(functions, 200, 1) is not None:
        raise SystemExit("The functions did not do their work in the stand-in.")
    cost = {}
    for status in (200, 401):
        best = None
        for _ in range(5):
            began = time.process_time()
            run(functions, status, times)
            took = (time.process_time() - began) / times * 1e6
            best = took if best is None else min(best, took)
        cost[str(status)] = round(best or 0.0, 2)
    return cost


def cases_of(namespace: str, keys: dict[str, str]) -> list[Case]:
    """A call that passes, through each service, and one with an unknown key, where keys are asked for."""

    def request(service: str, key: str) -> bytes:
        head = f"GET /{namespace}/{service}/things HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n"
        return f"{head}X-API-Key: {key}\r\n\r\n".encode()

    unknown = {"b": "u" * 57, "c": probe_key("unknown")}
    passing = [Case(name, 200, request(name, keys.get(name, "none"))) for name in SERVICES]
    return passing + [Case(name, 401, request(name, key)) for name, key in unknown.items()]


def report(cases: list[Case]) -> list[dict[str, Any]]:
    """A row per case: milliseconds, and ratios to (a) and to (b) with the same status."""
    found = {(case.service, case.status): case for case in cases}
    rows = []
    for case in cases:
        row: dict[str, Any] = {
            "case": SERVICES[case.service], "status": case.status,
            "median_ms": round(median(case.took) * 1e3, 3), "p95_ms": round(p95(case.took) * 1e3, 3),
        }  # fmt: skip
        for name, other in (("plain", found["a", 200]), ("key_auth", found["b", case.status])):
            row[f"to_{name}"], row[f"p95_to_{name}"] = (round(ratio, 2) for ratio in case.ratio(other))
        rows.append(row)
    return rows


async def run(given: argparse.Namespace, console: Console) -> dict[str, Any]:
    """All measurements."""
    namespace = f"bench-{secrets.token_hex(4)}"
    source = read_lua(LUA, problem_base="/problems/", portal_url="")
    lua = lua_cost(source, times=given.lua_times)
    presented = {"b": f"{namespace}-key".ljust(57, "0"), "c": probe_key(namespace)}
    stored = {"b": presented["b"], "c": hashlib.sha256(presented["c"].encode()).hexdigest()}
    edge = Edge(namespace=namespace, ingest_url="http://127.0.0.1:9", lua=source, derive=derived_id)
    cases = cases_of(namespace, presented)
    async with contextlib.AsyncExitStack() as stack:
        if given.admin:
            admin_url, proxy_url = given.admin, given.proxy
        else:
            admin_url, proxy_url = stack.enter_context(double())
        local = given.reaches in {"127.0.0.1", "localhost"}
        server = await asyncio.start_server(serve, "127.0.0.1" if local else "0.0.0.0", 0)
        stack.callback(server.close)
        upstream = f"http://{given.reaches}:{server.sockets[0].getsockname()[1]}"
        admin = KongAdmin(admin_url, timeout_seconds=30, attempts=1)
        await reachable(admin, admin_url)
        await stack.enter_async_context(provisioned(admin, list(entities(edge, upstream, stored))))
        await loaded(proxy_url, cases)
        await measure(proxy_url, cases, rounds=given.rounds, calls=given.calls, console=console)
    return {
        "gateway": given.admin or "double", "rounds": given.rounds, "calls_per_round": given.calls,
        "calls": report(cases), "lua_us_per_call": lua,
    }  # fmt: skip


def show(found: dict[str, Any]) -> None:
    """As a table, the ratios of the p95 in brackets."""
    table = Table("call through", "status", "median ms", "p95 ms", "to (a)", "to (b)")
    for row in found["calls"]:
        ratios = (f"{row[f'to_{name}']:.2f} [{row[f'p95_to_{name}']:.2f}]" for name in ("plain", "key_auth"))
        ends = (f"{row[f'{name}_ms']:.3f}" for name in ("median", "p95"))
        table.add_row(row["case"], str(row["status"]), *ends, *ratios)
    Console(markup=False).print(table)
    lua = found["lua_us_per_call"]
    print(f"LuaJIT alone: {lua['200']:.1f} µs for a call that passes, {lua['401']:.1f} µs for one refused.")
    print(f"Gateway: {found['gateway']}; {found['rounds']} rounds of {found['calls_per_round']} calls each.")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench gateway", description=__doc__.partition("\n")[0])
    parser.add_argument("--admin", help="the Admin API of a real Kong; default: a gateway double of our own")
    parser.add_argument("--proxy", help="its proxy")
    parser.add_argument("--reaches", default="127.0.0.1", help="this machine, as that Kong reaches it")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=50, help="of each kind, in each round")
    parser.add_argument("--lua-times", type=int, default=5_000, help="runs of the functions in LuaJIT alone")
    parser.add_argument("--json", action="store_true", help="print the figures for machines")
    given = parser.parse_args()
    if bool(given.admin) != bool(given.proxy):
        parser.error("--admin and --proxy belong together")
    if min(given.rounds, given.lua_times) < 1 or given.calls < 2:
        parser.error("at least one round of two calls")
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
