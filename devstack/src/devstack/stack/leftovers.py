"""What an earlier start left behind: processes, and a log that grows."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import psutil

from devstack.stack import state as states
from devstack.stack.layout import Layout

_SECONDS = 10.0
_LONGEST_LOG_BYTES = 64 * 1024 * 1024


def stop_leftovers(layout: Layout) -> list[str]:
    """No process of an earlier start is left; returns the names of those that had to be ended."""
    state = states.load(layout)
    found = {name: states.find(process) for name, process in (state.processes if state else {}).items()}
    living = {name: process for name, process in found.items() if process is not None}
    for name, process in living.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            # SIGINT is PostgreSQL's fast shutdown: SIGTERM would wait for its clients.
            process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
    _, stubborn = psutil.wait_procs(list(living.values()), timeout=_SECONDS)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=_SECONDS)
    forget_dead_postmaster(layout.data / "postgres" / "postmaster.pid")
    return sorted(living)


def forget_dead_postmaster(pid_file: Path) -> None:
    """Remove PostgreSQL's pid file when it names a zombie: PostgreSQL takes a zombie for a living server.

    An orphan that is killed stays a zombie where the init process does not collect it, as in many containers.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            pid_file.unlink()
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return


def rotate_long(log: Path) -> None:
    """A long log of the gateway is now the one before, in place of any earlier; metering reads it to its end first."""
    if log.exists() and log.stat().st_size > _LONGEST_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
