"""`./marketplace kong-sync ARGS`: the arguments and the exit code are those of the service's own command line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devstack.__main__ import main
from devstack.stack import state as states
from devstack.stack.layout import Layout, write_json
from devstack.stack.ports import USUAL


@pytest.fixture
def a_stack_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as commands can see: its supervisor lives. Nothing listens on its ports."""
    monkeypatch.setenv("MARKETPLACE_RUN", str(tmp_path))
    layout = Layout()
    write_json(layout.stack_file, {})
    write_json(layout.ports_file, dict.fromkeys(USUAL, 9))
    states.StackState(phase="ready", supervisor=states.observed(os.getpid())).save(layout)


@pytest.mark.usefixtures("a_stack_runs")
@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--confirm-deletes", "--json"],
        ["export", "--output", "kong.yaml"],
        ["export", "-o", "--help"],
        ["--help"],
        [],
    ],
)
def test_arguments_come_through_in_their_order(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], *, env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append((command, env))
        return subprocess.CompletedProcess(command, 2)

    monkeypatch.setattr(subprocess, "run", run)
    assert main(["kong-sync", *arguments]) == 2
    ((command, environment),) = ran
    assert command[1:] == ["-m", "kong_sync.cli", *arguments]
    assert environment["KONG_ADMIN_URL"] == "http://127.0.0.1:9"


@pytest.mark.usefixtures("a_stack_runs")
def test_the_exit_code_is_that_of_the_service(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["kong-sync", "rebuild", "--token", "a.b.c", "--timeout-seconds", "1"]) == 1
    said = capfd.readouterr().err
    assert "catalog: http://127.0.0.1:9/v1/admin/republish does not answer" in said
    assert "a.b.c" not in said


def test_without_a_stack_it_is_said_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETPLACE_RUN", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        main(["kong-sync", "plan"])
    assert stopped.value.code == 1
