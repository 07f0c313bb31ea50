"""The program runs, tiny: no figure is asserted, only that all of them are there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

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


async def test_interrupted_it_leaves_the_named_kong_as_it_was(tmp_path: Path) -> None:
    double = Double(tmp_path)
    await double.start()
    named = [
        "--admin",
        double.admin_url,
        "--proxy",
        double.proxy_url,
        "--rounds",
        "100000",
        "--lua-times",
        "1",
    ]
    running = subprocess.Popen([*COMMAND, *named], cwd=HOME, stderr=subprocess.PIPE, text=True)
    async with httpx.AsyncClient(base_url=double.admin_url) as admin:
        deadline = time.monotonic() + 60
        while len((await admin.get("/routes")).json()["data"]) < 3:
            assert running.poll() is None
            assert time.monotonic() < deadline
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
        assert (running.returncode, "nothing was left" in said) == (130, True), said
        for kind in ("routes", "plugins", "services", "consumers", "acls", "key-auths"):
            assert (await admin.get(f"/{kind}")).json()["data"] == []
    await double.kill()
