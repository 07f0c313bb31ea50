"""What the supervisor tells the commands: `.run/state.json`, replaced whole at every change."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

import psutil

from devstack.stack.layout import Layout, read_json, write_json

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]
_LINES = 200


@dataclass(slots=True)
class ProcessState:
    """One process; `started` is the kernel's time of its start, which tells it from a later one with the same pid."""

    pid: int
    started: float
    restarts: int = 0
    ready: bool = False


@dataclass(slots=True)
class StackState:
    """The supervisor's own view."""

    phase: Phase = "starting"
    supervisor: ProcessState | None = None
    processes: dict[str, ProcessState] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)  # name → waiting | running | done | failed
    lines: list[str] = field(default_factory=list)
    said: int = 0  # how many lines there have ever been; the last of `lines` has this number
    broker: str = "embedded"

    def say(self, line: str) -> None:
        """Add a line for the person who watches."""
        self.lines = [*self.lines, line][-_LINES:]
        self.said += 1

    def lines_after(self, number: int) -> list[str]:
        """The lines that came after the one with this number, as far as they are kept."""
        fresh = self.said - number
        return self.lines[-fresh:] if fresh > 0 else []

    def save(self, layout: Layout) -> None:
        """Tell the others."""
        write_json(layout.state_file, asdict(self))


def load(layout: Layout) -> StackState | None:
    """What the last supervisor said, alive or not."""
    found = read_json(layout.state_file)
    if found is None:
        return None
    supervisor = found.get("supervisor")
    return StackState(
        phase=found["phase"],
        supervisor=ProcessState(**supervisor) if supervisor else None,
        processes={name: ProcessState(**value) for name, value in found["processes"].items()},
        steps=found["steps"], lines=found["lines"], said=found.get("said", len(found["lines"])),
        broker=found.get("broker", "embedded"),
    )  # fmt: skip


def observed(pid: int) -> ProcessState:
    """A process as the kernel shows it now."""
    return ProcessState(pid, psutil.Process(pid).create_time())


def find(process: ProcessState | None) -> psutil.Process | None:
    """The living process, None when it is gone (or a zombie, or its pid has become another's)."""
    if process is None:
        return None
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < 1.0
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
