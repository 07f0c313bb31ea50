"""What the stack's commands rest on: its state file, its ports, and the end of what was left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from devstack.embedded.ports import free_port
from devstack.stack import commands, leftovers, ports, state
from devstack.stack.display import follow_start
from devstack.stack.layout import Layout
from devstack.stack.state import ProcessState, StackState


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("MARKETPLACE_RUN", str(tmp_path / ".run"))
    found = Layout()
    found.run.mkdir()
    found.logs.mkdir()
    return found


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_port_that_somebody_has_moves_aside_and_it_is_said() -> None:
    with socket.socket() as taken, ExitStack() as claims:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen, moved = ports.choose(claims, {"kafka": port, "redis": (free := free_port())})
    assert chosen["redis"] == free
    assert chosen["kafka"] != port
    assert moved == [f"port {port} is taken, so kafka listens on {chosen['kafka']}"]


def test_two_stacks_that_start_together_choose_different_ports() -> None:
    usual = {"redis": free_port()}
    with ExitStack() as claims:
        first, _ = ports.choose(claims, usual)
        with ExitStack() as other_claims:
            second, _ = ports.choose(other_claims, usual)
    assert first == usual
    assert second != usual
    with ExitStack() as claims:
        assert ports.choose(claims, usual) == (usual, [])


def test_the_state_comes_back_as_it_was_saved(layout: Layout) -> None:
    said = StackState(
        phase="ready", supervisor=ProcessState(1, 2.5), steps={"files": "done"}, broker="apache",
        processes={"redis": ProcessState(3, 4.5, restarts=2, ready=True)},
    )  # fmt: skip
    said.say("redis ended")
    said.save(layout)
    assert state.load(layout) == said


def test_repeated_lines_are_told_apart_even_when_the_oldest_are_forgotten() -> None:
    said = StackState()
    for _ in range(205):
        said.say("redis ended")
    assert said.lines_after(204) == ["redis ended"]
    assert said.lines_after(205) == []
    assert len(said.lines_after(0)) == len(said.lines) == 200


def test_a_pid_that_became_anothers_is_not_found() -> None:
    mine = state.observed(os.getpid())
    assert state.find(mine) is not None
    assert state.find(ProcessState(mine.pid, mine.started - 100)) is None


def test_leftovers_are_ended_and_others_with_their_pid_are_not(
    layout: Layout, sleeper: subprocess.Popen[bytes]
) -> None:
    seen = state.observed(sleeper.pid)
    StackState(processes={"redis": ProcessState(seen.pid, seen.started - 100)}).save(layout)
    assert leftovers.stop_leftovers(layout) == []
    assert sleeper.poll() is None
    StackState(processes={"redis": seen}).save(layout)
    assert leftovers.stop_leftovers(layout) == ["redis"]
    assert not psutil.pid_exists(seen.pid) or sleeper.poll() is not None


def test_a_dead_supervisors_ready_is_not_believed_and_its_last_words_are_shown(layout: Layout) -> None:
    dead = StackState(phase="ready", supervisor=ProcessState(os.getpid(), 1.0))
    dead.say("broker: [no] Java")
    dead.save(layout)
    shown = StringIO()
    assert follow_start(layout, Console(file=shown, width=200)) is False
    assert "broker: [no] Java" in shown.getvalue()
    assert "did not start" in shown.getvalue()


def test_reset_leaves_a_folder_alone_that_is_no_stacks(layout: Layout) -> None:
    precious = layout.run / "precious.txt"
    precious.write_text("mine")
    assert commands.reset() == 1
    assert precious.read_text() == "mine"
    layout.lock_file.touch()
    assert commands.reset() == 0
    assert not layout.run.exists()


def test_another_broker_than_the_running_stacks_is_refused(layout: Layout) -> None:
    StackState(phase="ready", supervisor=state.observed(os.getpid())).save(layout)
    shown = StringIO()
    assert commands.ensure_running("apache", Console(file=shown, width=200)) is False
    assert "runs with the embedded broker" in shown.getvalue()
    assert commands.ensure_running(None, Console(file=StringIO())) is True
    layout.data.rmdir()


def test_a_log_that_grew_long_is_the_one_before_and_a_short_one_stays(tmp_path: Path) -> None:
    log, before = tmp_path / "file-log.jsonl", tmp_path / "file-log.jsonl.1"
    leftovers.rotate_long(log)
    for size, stays in ((10, True), (65 * 1024 * 1024, False)):
        log.touch()
        os.truncate(log, size)  # a hole: it takes no space
        leftovers.rotate_long(log)
        assert (log.exists(), before.exists()) == (stays, not stays)
