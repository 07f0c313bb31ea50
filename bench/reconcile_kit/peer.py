"""decK on the same gateway."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.progress import Progress, TaskID

from bench.reconcile_kit.market import Bench
from bench.reconcile_kit.processes import peak_of
from common.clock import SystemClock
from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.domain.edge import Edge
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.usecases.export_state import export_state


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
