"""What `./marketplace up`, `down`, `status`, `logs`, `reset`, `token` and `test` do."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

from rich.console import Console

from devstack.stack import secrets
from devstack.stack import state as states
from devstack.stack.config import Config
from devstack.stack.display import follow_start, follow_stop, show_addresses, show_first_steps, show_status
from devstack.stack.layout import Layout, package, read_json
from devstack.stack.leftovers import stop_leftovers
from devstack.stack.platform import Addresses, Platform
from devstack.stack.roles import ROLES

console = Console(stderr=True, highlight=False)
_STOP_SECONDS = 60.0
# The tests of a whole stack stay together in one of them.
_TWO_PROCESSES = ["-n", "2", "--dist", "loadgroup"]


def running(layout: Layout) -> states.StackState | None:
    """The state of the stack if its supervisor lives."""
    state = states.load(layout)
    return state if state is not None and states.find(state.supervisor) is not None else None


def require_stack(layout: Layout) -> dict[str, Any]:
    """`.run/stack.json` of the running stack; exits with a hint when there is none."""
    stack = read_json(layout.stack_file)
    if stack is None or running(layout) is None:
        console.print("The stack is not running: start it with `./marketplace up`.")
        sys.exit(1)
    return stack


def up(*, detach: bool, broker: str) -> int:
    """The stack runs and is ready. Without `detach` this stays until Ctrl-C, which stops it."""
    layout = Layout()
    layout.make()
    if running(layout) is None:
        launch(layout, broker)
    else:
        console.print("The stack is running already.")
    if not follow_start(layout, console):
        return 1
    stack = require_stack(layout)
    show_addresses(stack, console)
    show_first_steps(stack, console)
    return 0 if detach else _stay(layout)


def launch(layout: Layout, broker: str) -> None:
    """A supervisor of its own session was started: it lives on when this command ends."""
    with (layout.logs / "supervisor.log").open("ab") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "devstack", "supervise", "--broker", broker],
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True, cwd=layout.home,
        )  # fmt: skip
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and child.poll() is None:
        state = states.load(layout)
        if state and state.supervisor and state.supervisor.pid == child.pid:
            return
        time.sleep(0.05)


def _stay(layout: Layout) -> int:
    """Show what the supervisor says until Ctrl-C, then stop the stack."""
    console.print("\n[dim]Ctrl-C stops all of it.[/dim]")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    shown: list[str] = list(state.lines) if (state := states.load(layout)) else []
    try:
        while (state := running(layout)) is not None:
            for line in state.lines:
                if line not in shown:
                    console.print(f"[yellow]{line}[/yellow]")
            shown = list(state.lines)
            time.sleep(0.5)
    except KeyboardInterrupt:
        return down()
    console.print("The stack has stopped.")
    return 0


def down() -> int:
    """Nothing of the stack runs any more; its data is kept."""
    layout = Layout()
    state = running(layout)
    if state is not None and state.supervisor is not None:
        os.kill(state.supervisor.pid, signal.SIGTERM)
        follow_stop(lambda: running(layout) is None, console, seconds=_STOP_SECONDS)
        supervisor = states.find(state.supervisor)
        if supervisor is not None:
            supervisor.kill()
    ended = stop_leftovers(layout)
    if ended:
        console.print(f"Ended, left behind by an earlier start: {', '.join(ended)}.")
    layout.stack_file.unlink(missing_ok=True)
    console.print("Nothing runs any more." if state or ended else "The stack was not running.")
    return 0


def status() -> int:
    """Print every process; 0 when all of them live and are ready, 1 otherwise."""
    layout = Layout()
    state = running(layout)
    if state is None:
        console.print("The stack is not running.")
        return 1
    healthy = show_status(state, Console())
    return 0 if healthy and state.phase == "ready" else 1


def logs(part: str | None, *, follow: bool) -> int:
    """Print the last lines of the logs, and go on when asked to."""
    layout = Layout()
    files = sorted(layout.logs.glob("*.log"))
    chosen = [file for file in files if part in (None, file.stem)]
    if not chosen:
        console.print(
            f"There is no log of {part}; there are: {', '.join(file.stem for file in files) or 'none'}."
        )
        return 1
    tail = shutil.which("tail")
    if tail:
        return subprocess.run(
            [tail, "-n", "100", *(["-F"] if follow else []), *map(str, chosen)], check=False
        ).returncode
    for file in chosen:
        print(f"==> {file} <==\n" + "\n".join(file.read_text(errors="replace").splitlines()[-100:]))
    return 0


def reset() -> int:
    """Nothing runs and nothing is kept."""
    layout = Layout()
    down()
    shutil.rmtree(layout.data, ignore_errors=True)
    shutil.rmtree(layout.run, ignore_errors=True)
    console.print("All data is gone.")
    return 0


def token(role: str) -> int:
    """Print a fresh token of one of the stack's three people, and nothing else."""
    stack = require_stack(Layout())
    person = ROLES[role]

    async def ask() -> str:
        async with Platform(Addresses.of(stack)) as platform:
            return await platform.token(person.username, slug=person.slug, name=person.name)

    print(asyncio.run(ask()))
    return 0


def service(name: str, arguments: list[str]) -> int:
    """Run a service's own command line with the settings that the stack gives it."""
    layout = Layout()
    require_stack(layout)
    ports = read_json(layout.ports_file) or {}
    config = Config(layout, ports, secrets.load(layout))
    command = [sys.executable, "-m", f"{package(name)}.cli", *arguments]
    return subprocess.run(
        command, env=config.service_environment(name), cwd=layout.home, check=False
    ).returncode


def test(arguments: list[str]) -> int:
    """Run the tests, all of them in two processes; the exit code is pytest's."""
    command = [sys.executable, "-m", "pytest", *(arguments or _TWO_PROCESSES)]
    return subprocess.run(command, cwd=Layout().home, check=False).returncode


def check() -> int:
    """Run the house's rules, as `make check` does; the exit code is theirs."""
    return subprocess.run(
        [sys.executable, "-m", "tests.architecture"], cwd=Layout().home, check=False
    ).returncode
