"""`./marketplace faults`: play the fault catalogue from a seed, and say what held."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from dataclasses import dataclass, field
from typing import Any

from devstack.faults.lab import Lab, open_lab
from devstack.faults.oracle import drained, judge
from devstack.faults.rows import CONTROLS, ROWS, Row
from devstack.faults.run import new_run
from devstack.stack.layout import STOP_SIGNALS


@dataclass(slots=True)
class Verdict:
    """What became of a row or a control."""

    name: str
    verdict: str
    row: int = 0
    reason: str = ""
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """As it is printed."""
        return f"row {self.row:>2}  {self.name}" if self.row else f"control {self.name}"

    @property
    def kills(self) -> int:
        """How many kills counted."""
        return sum(len(run["kills"]) for run in self.runs)


def faults(arguments: argparse.Namespace) -> int:
    """0 when every row that can run here held and every negative control failed."""
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    return asyncio.run(_faults(seed, arguments))


async def _faults(seed: int, arguments: argparse.Namespace) -> int:
    playing = asyncio.current_task()
    for stop in STOP_SIGNALS:  # the servers are ours: they are ended whoever ends us
        asyncio.get_running_loop().add_signal_handler(stop, playing.cancel if playing else lambda: None)
    chosen = [row for row in ROWS if not arguments.only or str(row.number) in arguments.only]
    controls = CONTROLS if not arguments.only or "controls" in arguments.only else {}
    if not chosen and not controls:
        print(f"There is no row {arguments.only}; there are {[row.number for row in ROWS]}.", file=sys.stderr)
        return 2
    _say(f"seed {seed}")
    rows = [Verdict(row.name, "held", row.number) for row in chosen]
    failed = [Verdict(name, "failed") for name in controls]
    try:
        async with open_lab(prefer=arguments.broker) as lab:
            _say(f"broker: {lab.broker}" + (f" ({lab.why_embedded})" if lab.why_embedded else ""))
            for number in range(arguments.runs):
                for row, verdict in zip(chosen, rows, strict=True):
                    await _play_row(lab, row, verdict, number=number, seed=seed + number)
                for verdict in failed:
                    await _play_control(lab, verdict, number=number, seed=seed + number)
    except asyncio.CancelledError:
        _say("interrupted: this is what was played until then")
    for verdict in [*rows, *failed]:
        if not verdict.runs and verdict.verdict != "not_runnable":
            verdict.verdict, verdict.reason = "not_runnable", "interrupted before its first run"
        _say(f"{verdict.title}: {verdict.verdict} in {len(verdict.runs)} runs, {verdict.kills} kills at work")
    answer = {
        "seed": seed,
        "rows": [_facts(verdict) | {"row": verdict.row} for verdict in rows],
        "controls": [_facts(verdict) for verdict in failed],
    }
    if arguments.json:
        print(json.dumps(answer, indent=1))
    sound = all(verdict.verdict != "broken" for verdict in rows)
    return 0 if sound and all(verdict.verdict == "failed" for verdict in failed) else 1


def _facts(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.name, "runs": len(verdict.runs), "verdict": verdict.verdict, "reason": verdict.reason,
        "kills": verdict.kills, "details": verdict.runs,
    }  # fmt: skip


async def _play_row(lab: Lab, row: Row, verdict: Verdict, *, number: int, seed: int) -> None:
    reason = row.cannot(lab)
    if reason:
        if verdict.verdict == "held":
            _say(f"{verdict.title}: not_runnable: {reason}")
        verdict.verdict, verdict.reason = "not_runnable", reason
        return
    found = await _play(lab, row, number=number, seed=seed)
    verdict.runs.append(found)
    if found["differences"]:
        verdict.verdict = "broken"
    _tell(verdict.title, found)


async def _play_control(lab: Lab, verdict: Verdict, *, number: int, seed: int) -> None:
    """A control has failed when each of its runs was found wrong, and for what was lost or counted twice."""
    row = Row(0, verdict.name, CONTROLS[verdict.name])
    found = await _play(lab, row, number=number, seed=seed, broken=verdict.name)
    verdict.runs.append(found)
    # For what it counted, that is, and not for having come to a stop: then it would show nothing.
    stopped = any(text.startswith(("stalled", "not finished")) for text in found["differences"])
    if stopped or not any(text.startswith("O") for text in found["differences"]):
        verdict.verdict = "unnoticed"
    _tell(verdict.title, found | {"differences": found["differences"][:1]})


async def _play(lab: Lab, row: Row, *, number: int, seed: int, broken: str | None = None) -> dict[str, Any]:
    async with new_run(lab, row=row.number, number=number, seed=seed, broken=broken) as run:
        if broken == "dedupe by body":
            async with run.database() as connection:
                await connection.execute("ALTER TABLE api_requests_log DROP CONSTRAINT pk_api_requests_log")
        try:
            async with asyncio.timeout(row.seconds):
                await row.play(run)
                await run.settled()
                if row.counts:
                    await drained(run)
                    await judge(run)
        except Exception as error:
            run.differ(f"not finished: {_said(error)}")
        if run.wants_kills and not run.kills:
            run.differ("no kill counted: nobody had work in hand")
        return run.report()


def _said(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_said(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"


def _tell(what: str, found: dict[str, Any]) -> None:
    kills = ", ".join(
        f"{k['process']} {k['where']} at {k['at_seconds']} s ({k['in_flight']} {k['measured']})"
        for k in found["kills"]
    )
    _say(f"{what}: seed {found['seed']}, {found['calls']} calls, {found['seconds']} s; {kills or 'no kills'}")
    for note in found["notes"]:
        _say(f"    {note}")
    for text in found["differences"]:
        _say(f"    DIFFERS {text[:300]}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
