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
import pytest

from devstack.stack.layout import HOME
from tests.kong_sync.double import Double

TINY = ("--rounds", "1", "--calls", "2", "--lua-times", "1")
COMMAND = [sys.executable, "-m", "devstack", "bench", "gateway"]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=HOME, text=True, capture_output=True, check=False)


def test_every_ratio_is_there() -> None:
    done = bench(*TINY, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["status"] for row in found["calls"]] == [200, 200, 200, 401, 401]
    plain, _, ours, *_ = found["calls"]
    assert (plain["to_plain"], plain["p95_to_plain"]) == (1, 1)
    assert ours.keys() >= {
        "median_ms",
        "p95_ms",
        "to_plain",
        "to_key_auth",
        "p95_to_plain",
        "p95_to_key_auth",
    }
    assert found["lua_us_per_call"].keys() == {"200", "401"}


def test_people_get_a_table() -> None:
    done = bench(*TINY)
    assert done.returncode == 0, done.stderr
    assert "(a) plain route" in done.stdout
    assert "LuaJIT alone" in done.stdout


def test_wrong_arguments_are_refused_by_the_program_itself() -> None:
    assert bench("--no-such-option").returncode == 2
    assert "belong together" in bench("--admin", "http://127.0.0.1:9").stderr


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[Double]:
    started = Double(tmp_path)
    await started.start()
    yield started
    await started.kill()


@pytest.fixture
def endless(double: Double) -> Iterator[subprocess.Popen[str]]:
    """The program at work on a Kong that was named to it."""
    named = ["--admin", double.admin_url, "--proxy", double.proxy_url, "--lua-times", "1"]
    command = [*COMMAND, *named, "--rounds", "100000"]
    running = subprocess.Popen(command, cwd=HOME, stderr=subprocess.PIPE, text=True)
    yield running
    running.kill()
    running.communicate()


async def test_interrupted_it_leaves_the_named_kong_as_it_was(
    double: Double, endless: subprocess.Popen[str]
) -> None:
    async with httpx.AsyncClient(base_url=double.admin_url) as admin:
        async with asyncio.timeout(60):
            while len((await admin.get("/routes")).json()["data"]) < 3:
                assert endless.poll() is None
                await asyncio.sleep(0.05)
        endless.send_signal(signal.SIGINT)
        _, said = endless.communicate(timeout=60)
        assert (endless.returncode, "nothing was left" in said) == (130, True), said
        for kind in ("routes", "plugins", "services", "consumers", "acls", "key-auths"):
            assert (await admin.get(f"/{kind}")).json()["data"] == []
