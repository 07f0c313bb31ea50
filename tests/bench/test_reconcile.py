"""The program runs, tiny: no figure is asserted, only that all of them are there."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from devstack.stack.layout import HOME
from tests.kong_sync.double import Double

COMMAND = [sys.executable, "-m", "devstack", "bench", "reconcile"]
TINY = ("--sizes", "4", "--sweeps", "1", "--changes", "1", "--stops", "1", "--no-deck")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=HOME, text=True, capture_output=True, check=False)


def test_every_figure_is_there() -> None:
    done = bench(*TINY, "--json")
    assert done.returncode == 0, done.stderr
    size = json.loads(done.stdout)["sizes"]["4"]
    assert size.keys() >= {"first_s", "sweep_s", "change_s", "change_calls", "memory_mib"}
    for figures in (size["applied_s"], size["stop_s"]["alone"], size["stop_s"]["beside"]):
        assert figures.keys() == {"p50", "p99"}
    calls = {kind: found["calls"] for kind, found in size["changes"].items()}
    assert calls == {"limits": 4, "key": 4, "api": 4, "stop": 5}
    assert size["first_calls"] > 4 * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--no-such-option",), "--no-such-option"),
        (("--proxy", "http://127.0.0.1:9"), "belongs to --admin"),
        (("--sizes", "0"), "at least one"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...], said: str) -> None:
    done = bench(*arguments)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[Double]:
    started = Double(tmp_path)
    await started.start()
    yield started
    await started.kill()


@pytest.fixture
def endless(double: Double) -> Iterator[subprocess.Popen[str]]:
    """The program at work on a Kong that was named to it."""
    named = ["--admin", double.admin_url, "--proxy", double.proxy_url, "--no-deck"]
    command = [*COMMAND, *named, "--sizes", "20", "--changes", "100000"]
    running = subprocess.Popen(command, cwd=HOME, stderr=subprocess.PIPE, text=True)
    yield running
    running.kill()
    running.communicate()


async def test_ended_it_leaves_the_named_kong_as_it_was_and_no_process(
    double: Double, endless: subprocess.Popen[str]
) -> None:
    async with httpx.AsyncClient(base_url=double.admin_url) as admin:
        async with asyncio.timeout(120):
            while len((await admin.get("/consumers")).json()["data"]) < 20:
                assert endless.poll() is None
                await asyncio.sleep(0.05)
        started = psutil.Process(endless.pid).children(
            recursive=True
        )  # they are put away as its own double is
        assert started
        endless.send_signal(signal.SIGTERM)  # (that Ctrl-C does the same is seen in test_gateway.py)
        _, said = endless.communicate(timeout=60)
        assert (endless.returncode, "nothing was left" in said) == (130, True), said
        assert not [process for process in started if process.is_running()]
        for kind in ("routes", "plugins", "services", "consumers", "acls", "key-auths"):
            assert (await admin.get(f"/{kind}")).json()["data"] == []
