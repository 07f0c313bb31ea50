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
from devstack.demo.narrator import Narrator
from devstack.demo.narrator import money as amount
from devstack.demo.platform_chaos import kill_the_rest
from devstack.demo.story import Story
from devstack.embedded.ports import accepts, free_port
from devstack.stack.commands import launch, require_stack, running
from devstack.stack.display import follow_start
from devstack.stack.layout import Layout
from devstack.stack.platform import PlatformError


def demo(arguments: argparse.Namespace) -> int:
    """Tell the story and return 0 only if every figure agrees. Starts the stack when it does not run."""
    narrator, layout = Narrator(), Layout()
    layout.make()
    if running(layout) is None:
        launch(layout, arguments.broker)
    if not follow_start(layout, narrator.console):
        return 1
    stack = require_stack(layout)
    document = Path(arguments.openapi).resolve() if arguments.openapi else None
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    began = time.monotonic()
    with _upstream(document, stack, layout) as upstream:
        facts = asyncio.run(_tell(stack, document, upstream, narrator, chaos=arguments.chaos, seed=seed))
    seconds = time.monotonic() - began
    narrator.verdict(facts["differences"], seconds=seconds)
    if arguments.json:
        json.dump(facts | {"seconds": round(seconds, 1)}, sys.stdout, indent=1)
        print()
    return 0 if facts["ok"] else 1


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
        await story.call(chaos=chaos)
        if chaos:
            await kill_the_rest(story)
        expected, usage = await story.usage()
        made, wanted = await money.invoice(story, expected, chaos=chaos)
        paid = await money.pay(story, made, wanted, chaos=chaos)
        trial = await money.ledger(story)
        after = await money.payout(story, wanted, made["currency"])
        await money.ledger(story)
        narrator.table(
            ["account", "balance"],
            [[i["name"], amount(i["balance"])] for i in trial[made["currency"]]["accounts"]],
        )
    except (PlatformError, TimeoutError, RuntimeError, httpx.HTTPError) as error:
        return _broken_off(story, str(error))
    finally:
        await story.close()
    return _facts(story, usage, paid, trial, after, seed=seed if chaos else None)


def _broken_off(story: Story, reason: str) -> dict[str, Any]:
    """The facts of a story that could not be told to its end."""
    return {
        "ok": False,
        "client": _client(story),
        "differences": [*story.differences, f"the demo broke off: {reason}"],
        "kills": [asdict(kill) for kill in story.killer.kills],
    }


def _client(story: Story) -> dict[str, Any]:
    return {
        "sent": len(story.client.made) - story.client.count("not_sent"),
        "by_status": story.client.by_status(),
        "unknown": story.client.count("unknown"),
        "not_sent": story.client.count("not_sent"),
    }


def _facts(
    story: Story, usage: dict[str, Any], paid: dict[str, Any], trial: dict[str, Any], after: dict[str, Any],
    *, seed: int | None,
) -> dict[str, Any]:  # fmt: skip
    kills = [asdict(kill) for kill in story.killer.kills]
    idle = [kill["process"] for kill in kills if kill["in_flight"] == 0]
    differences = story.differences + [f"{name} was killed while it had nothing to do" for name in idle]
    return {
        "ok": not differences,
        "client": _client(story),
        "upstream": usage["upstream"],
        "metering": {"hour": usage["hour"], "day": usage["day"]},
        "invoice": paid["invoice"],
        "balance": paid["balance"],
        "payout": after,
        "trial_balance": trial,
        "differences": differences,
        "kills": kills,
        "seed": seed,
    }  # fmt: skip
