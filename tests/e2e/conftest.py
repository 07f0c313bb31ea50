"""A whole embedded stack of its own for these tests, beside whatever else runs on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Stack:
    """Runs `./marketplace` commands on the stack whose `.run` folder is `run`."""

    run: Path

    def command(self, *arguments: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "devstack", *arguments], cwd=ROOT, capture_output=True, text=True,
            env=os.environ | {"MARKETPLACE_RUN": str(self.run)},  # noqa: TID251 - passed on, not read
            timeout=seconds, check=False,
        )  # fmt: skip

    def must(self, *arguments: str, seconds: float = 300) -> str:
        done = self.command(*arguments, seconds=seconds)
        assert done.returncode == 0, (
            f"{arguments}:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}\n{self.logs()}"
        )
        return done.stdout

    def demo(self, *arguments: str) -> dict[str, Any]:
        done = self.command("demo", "--json", *arguments)
        assert done.stdout, f"the demo told nothing:\n{done.stderr[-6000:]}\n{self.logs()}"
        facts: dict[str, Any] = json.loads(done.stdout)
        assert facts["differences"] == [], facts["differences"]
        assert done.returncode == 0
        return facts

    @property
    def file(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run / "stack.json").read_text())
        return found

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run / "state.json").read_text())
        return found

    def logs(self) -> str:
        """The last lines of every log, for the one who has to find out why."""
        return "\n".join(
            f"==> {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-8:])[-3000:]
            for file in sorted((self.run / "logs").glob("*.log"))
        )


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    started = Stack(tmp_path_factory.mktemp("stack") / ".run")
    started.must("up", "--detach")
    yield started
    started.command("reset")
