"""No service's command line prints a secret, not even when it fails."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest

from tests.architecture.repository import SERVICES

# A command beside the service's own, that logs a secret, lets a library log it, and fails while it holds it.
FAILING = """
import importlib, logging, sys
from common.log import get_logger
app = importlib.import_module(sys.argv.pop(1) + ".cli").app
@app.command()
def misfortune() -> None:
    password = "hunter2" * 3
    get_logger().warning("thing.failed", password=password)
    logging.getLogger("library").warning("password=%s", password)
    raise RuntimeError("out of luck")
app()
"""


@pytest.mark.parametrize("package", sorted(SERVICES))
def test_a_command_that_fails_prints_no_secret(package: str) -> None:
    environment = {"PATH": os.defpath, "COLUMNS": "200"}
    command = [sys.executable, "-c", FAILING, package, "misfortune"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "RuntimeError: out of luck" in done.stderr
    assert "hunter2hunter2" not in done.stdout + done.stderr
    ours, theirs = (json.loads(line) for line in done.stderr.splitlines() if line.startswith("{"))
    assert (ours["service"], ours["event"], ours["password"]) == (package, "thing.failed", "[redacted]")
    assert theirs["event"] == "password=[redacted]"


@pytest.mark.parametrize("package", sorted(SERVICES))
def test_no_traceback_shows_local_variables(package: str) -> None:
    # Said outright: what typer does by itself has changed between its releases.
    assert importlib.import_module(f"{package}.cli").app.pretty_exceptions_show_locals is False
