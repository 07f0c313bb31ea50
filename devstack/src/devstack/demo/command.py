"""`./marketplace demo`."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from devstack.demo import money
from devstack.demo.documents import operations
from devstack.demo.narrator import Narrator
from devstack.demo.narrator import money as amount
from devstack.demo.platform_chaos import kill_every_process
from devstack.demo.story import Story
from devstack.embedded.ports import accepts, free_port
from devstack.stack.commands import ensure_running
from devstack.stack.layout import Layout, read_json
from devstack.stack.platform import PlatformError

_SHAPE = (
    "ok", "client", "upstream", "metering", "invoice", "balance", "payout", "trial_balance", "differences", "kills",
    "seed",
    "served_unanswered", "reconciliation", "verified_calls",
)  # fmt: skip
# What ends the story early: told as a difference, never as a traceback.
BREAKS_OFF = (
    PlatformError, TimeoutError, RuntimeError, ValueError, LookupError, OSError, subprocess.SubprocessError,
    httpx.HTTPError, ExceptionGroup,
)  # fmt: skip


def demo(arguments: argparse.Namespace) -> int:
    """Tell the story and return 0 only if every figure agrees. Starts the stack when it does not run."""
    narrator = Narrator()
    began = time.monotonic()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    found = _facts_of_a_run(arguments, narrator, seed=seed)
    seconds = time.monotonic() - began
    narrator.verdict(found["differences"], seconds=seconds)
    if arguments.json:
        json.dump(found | {"seconds": round(seconds, 1)}, sys.stdout, indent=1)
        print()
    return 0 if found["ok"] else 1


def _facts_of_a_run(arguments: argparse.Namespace, narrator: Narrator, *, seed: int) -> dict[str, Any]:
    """The stack runs and the story was told, or the facts say why not."""
    layout = Layout()
    try:
        document = Path(arguments.openapi).resolve(strict=True) if arguments.openapi else None
        operations(document)
        started = ensure_running(arguments.broker, narrator.console)
        stack = read_json(layout.stack_file) if started else None
        if stack is None:
            return facts(differences=["the stack did not start"])
        with _upstream(document, stack, layout) as upstream:
            return asyncio.run(_tell(stack, document, upstream, narrator, chaos=arguments.chaos, seed=seed))
    except BREAKS_OFF as error:
        return facts(differences=[broke_off(error)])


def facts(*, differences: list[str], **known: Any) -> dict[str, Any]:
    """What `--json` prints, in one shape however the story ended: null is what was not reached."""
    return dict.fromkeys(_SHAPE) | known | {"ok": not differences, "differences": differences}


def broke_off(error: BaseException) -> str:
    """The error as a difference, with what a task group wraps."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(broke_off(one) for one in error.exceptions)
    return f"the demo broke off: {type(error).__name__}: {error}"


@contextmanager
def _upstream(document: Path | None, stack: dict[str, Any], layout: Layout) -> Iterator[str]:
    """The upstream's URL: the stack's sample, or for another document one of its own as long as the demo runs."""
    if document is None:
        yield stack["upstream"]["url"]
        return
    port = free_port()
    state = layout.run / "demo" / f"upstream-{port}"
    state.mkdir(parents=True)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "devstack.upstream", "--port", str(port), "--state", str(state),
            "--document", str(document),
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not accepts(port) and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is not None:
            raise RuntimeError(f"the sample upstream does not start with {document}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


async def _tell(
    stack: dict[str, Any], document: Path | None, upstream: str, narrator: Narrator, *, chaos: bool, seed: int
) -> dict[str, Any]:
    story = Story(stack, document=document, upstream=upstream, narrator=narrator, seed=seed)
    if chaos:
        narrator.say(f"chaos with --seed {seed}")
    try:
        await story.remember_journal()
        await story.register()
        await story.subscribe()
        await story.call(killing=kill_every_process if chaos else None)
        expected, usage = await story.usage()
        made, wanted = await money.invoice(story, expected, chaos=chaos)
        verified = await money.evidence(story, made)
        paid = await money.pay(story, made, wanted, chaos=chaos)
        trial = await money.ledger(story)
        after = await money.payout(story, wanted, made["currency"])
        await money.ledger(story)
        reconciled = await money.reconcile(story)
        narrator.table(
            ["account", "balance"],
            [[i["name"], amount(i["balance"])] for i in trial[made["currency"]]["accounts"]],
        )
    except BREAKS_OFF as error:
        return facts(
            differences=[*story.differences, broke_off(error)],
            **_calls_and_kills(story, chaos=chaos, seed=seed),
        )
    finally:
        await story.close()
    return facts(
        differences=story.differences,
        upstream=usage["upstream"],
        served_unanswered=usage["served_unanswered"],
        reconciliation=reconciled,
        verified_calls=verified,
        metering={"hour": usage["hour"], "day": usage["day"]},
        invoice=paid["invoice"],
        balance=paid["balance"],
        payout=after,
        trial_balance=trial,
        **_calls_and_kills(story, chaos=chaos, seed=seed),
    )


def _calls_and_kills(story: Story, *, chaos: bool, seed: int) -> dict[str, Any]:
    """What is known of every story, told to its end or not."""
    client = {
        "sent": len(story.client.made) - story.client.count("not_sent"),
        "by_status": story.client.by_status(),
        "unknown": story.client.count("unknown"),
        "not_sent": story.client.count("not_sent"),
    }
    kills = [asdict(kill) for kill in story.killer.kills]
    return {"client": client, "kills": kills, "seed": seed if chaos else None}
