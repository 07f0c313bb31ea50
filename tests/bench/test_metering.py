"""The program runs, tiny and on the embedded broker: no figure is asserted, only that they are there."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

from devstack.stack.layout import HOME

COMMAND = [sys.executable, "-m", "devstack", "bench", "metering"]
TINY = ("--embedded", "--repeats", "1", "--calls", "400", "--slow-calls", "200")


def test_the_consumer_is_compared_and_what_cannot_be_had_is_named() -> None:
    done = subprocess.run(
        [*COMMAND, *TINY, "--only", "copy", "kafka_streams", "--json"],
        cwd=HOME, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ratios"].keys() == found["cpu_ratios"].keys() == {"copy"}
    assert found["spread"]["copy"].keys() == {"median", "min", "max"}
    assert found["cases"].keys() == {"consumer", "copy", "flat"}
    assert "needs transactions" in found["skipped"]["kafka_streams"]
    assert "embedded broker" in found["broker"]


def test_a_ratio_that_does_not_exist_is_refused() -> None:
    done = subprocess.run([*COMMAND, "--only", "luck"], cwd=HOME, text=True, capture_output=True, check=False)
    assert (done.returncode, "invalid choice" in done.stderr) == (2, True)


async def test_interrupted_it_leaves_no_process_and_no_folder() -> None:
    before = set(Path("/var/tmp").glob("marketplace-bench-*"))
    running = subprocess.Popen([*COMMAND, *TINY], cwd=HOME, stderr=subprocess.PIPE, text=True)
    try:
        async with asyncio.timeout(120):
            while not (made := set(Path("/var/tmp").glob("marketplace-bench-*")) - before):
                assert running.poll() is None
                await asyncio.sleep(0.05)
            while not any((folder / "data" / "postmaster.pid").exists() for folder in made):
                assert running.poll() is None
                await asyncio.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = await asyncio.to_thread(running.communicate)
        assert (running.returncode, "has ended" in said) == (130, True), said
        assert not any(folder.exists() for folder in made)
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert not any(str(folder) in listed for folder in made)
    finally:
        running.kill()
        running.wait()
