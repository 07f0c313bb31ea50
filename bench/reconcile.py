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
import json
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.gateway import LUA, double, ended_by_sigterm, reachable
from bench.reconcile_kit.market import Bench, Watched
from bench.reconcile_kit.peer import Deck, empty, measure_deck
from bench.reconcile_kit.processes import database, peak_of
from bench.reconcile_kit.report import show, spread
from common.db import Database
from common.ids import derived_id
from common.log import configure_logging
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.kong_proxy import KongProxy
from kong_sync.clients.lua_files import read_lua
from kong_sync.domain.edge import NOWHERE, Edge
from kong_sync.domain.report import Outcome
from kong_sync.settings import Settings


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
        beside = spread(await bench.stops_beside_changes(given.stops))
        revoked = spread(await bench.stops_beside_changes(given.stops, of_key=True))
        sweeping = spread(await bench.stops_beside_sweeps(given.stops))
    found: dict[str, Any] = {
        "first_s": round(first, 3), "sweep_s": round(median(sweeps), 3),
        "change_s": max(kind["live_s"]["p50"] for kind in changes.values()),
        "change_calls": max(kind["calls"] for kind in changes.values()),
        "applied_s": max((kind["applied_s"] for kind in changes.values()), key=lambda applied: applied["p99"]),
        "stop_s": {"alone": changes["stop"]["applied_s"], "beside": beside, "revoked": revoked, "sweep": sweeping},
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
