"""What `./marketplace up`, `down`, `status`, `logs`, `reset`, `token`, `test` and `bench` do."""

from __future__ import annotations

import ast
import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from devstack.stack import secrets
from devstack.stack import state as states
from devstack.stack.config import Config
from devstack.stack.display import (
    follow_start,
    follow_stop,
    show_addresses,
    show_first_steps,
    show_lines,
    show_status,
)
from devstack.stack.layout import STOP_SIGNALS, Layout, package, read_json
from devstack.stack.leftovers import stop_leftovers
from devstack.stack.platform import Addresses, Platform
from devstack.stack.roles import ROLES

console = Console(stderr=True, highlight=False)
_STOP_SECONDS = 60.0
_LOCKED = 3  # the supervisor's exit code when another one runs


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


def up(*, detach: bool, broker: str | None) -> int:
    """The stack runs and is ready. Without `detach` this stays until Ctrl-C, which stops it."""
    layout, ready = Layout(), False
    try:
        with _stopped_by_signals():
            if not _come_up(layout, broker, console):
                return 1
            stack = require_stack(layout)
            show_addresses(stack, console)
            show_first_steps(stack, console)
            ready = True
            return 0 if detach else _stay(layout)
    except KeyboardInterrupt:
        return 0 if ready else 130


def ensure_running(broker: str | None, shown_on: Console = console) -> bool:
    """The stack runs, is ready and uses `broker` (None: any); else False, and the reason was shown.

    Ctrl-C, SIGTERM or SIGHUP while it comes up stop it and raise KeyboardInterrupt.
    """
    with _stopped_by_signals():
        return _come_up(Layout(), broker, shown_on)


def _come_up(layout: Layout, broker: str | None, shown_on: Console) -> bool:
    try:
        layout.make()
    except RuntimeError as error:
        shown_on.print(str(error), markup=False)
        return False
    state = running(layout)
    if state is None:
        launch(layout, broker)
    elif broker not in (None, state.broker):
        shown_on.print(
            f"The stack runs with the {state.broker} broker. "
            f"For {broker} stop it first: `./marketplace down`, then the same command again."
        )
        return False
    elif state.phase == "ready":
        shown_on.print("The stack is running already.")
    return follow_start(layout, shown_on)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP stop the stack, however far it has come, and raise KeyboardInterrupt.

    A signal that was ignored before (nohup) stays ignored.
    """
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except (KeyboardInterrupt, OSError):  # OSError: the terminal went away
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)
        down()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def launch(layout: Layout, broker: str | None) -> None:
    """A supervisor of its own session was started and has said so, or has ended."""
    _forget_last_start(layout)
    child = _spawn_supervisor(layout, broker or "embedded")
    try:
        while child.poll() is None:
            state = running(layout)
            if state and state.supervisor and state.supervisor.pid == child.pid:
                return
            time.sleep(0.05)
        # Another start was faster and holds the lock: it is the one to follow.
        deadline = time.monotonic() + 20
        while child.returncode == _LOCKED and running(layout) is None and time.monotonic() < deadline:
            time.sleep(0.05)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise


def _spawn_supervisor(layout: Layout, broker: str) -> subprocess.Popen[bytes]:
    # Held back: a signal in between would leave a supervisor that nobody knows of. It takes them up itself.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        with (layout.logs / "supervisor.log").open("ab") as sink:
            return subprocess.Popen(
                [sys.executable, "-m", "devstack", "supervise", "--broker", broker],
                stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True, cwd=layout.home,
            )  # fmt: skip
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _forget_last_start(layout: Layout) -> None:
    """What the last supervisor said is gone, unless one lives; the processes that it may have left are kept."""
    with layout.lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        earlier = states.load(layout)
        states.StackState(processes=earlier.processes if earlier else {}).save(layout)


def _stay(layout: Layout) -> int:
    """Show what the supervisor says for as long as it lives."""
    console.print("\n[dim]Ctrl-C stops all of it.[/dim]")
    said = state.said if (state := states.load(layout)) else 0
    while (state := running(layout)) is not None:
        show_lines(state, console, after=said)
        said = state.said
        time.sleep(0.5)
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
    if layout.run.exists() and not layout.lock_file.exists():
        console.print(f"{layout.run} is not a stack's folder; nothing was removed.", markup=False)
        return 1
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
    environment = config.service_environment(name)
    if "MARKETPLACE_TOKEN" in os.environ:  # an argument would be seen by everybody on this machine
        environment["MARKETPLACE_TOKEN"] = os.environ["MARKETPLACE_TOKEN"]
    return subprocess.run(command, env=environment, cwd=layout.home, check=False).returncode


def test(arguments: list[str]) -> int:
    """Run the tests; the exit code is pytest's, the worse one of the two runs that a call without arguments makes.

    Those that start a whole stack run beside all others, in a process of their own: they mostly wait. The others run in
    two processes, each with a database server and a broker of its own.
    `--kong` runs the gateway's contract alone, against the Kong that the environment names.
    """
    if "--kong" in arguments:
        return _test_kong(arguments)
    pytest = [sys.executable, "-m", "pytest"]
    home = Layout().home
    if arguments:
        return subprocess.run([*pytest, *arguments], cwd=home, check=False).returncode
    with tempfile.TemporaryFile("w+") as told:
        stacks = subprocess.Popen([*pytest, "-m", "e2e"], cwd=home, stdout=told, stderr=subprocess.STDOUT)
        try:
            others = [*pytest, "-m", "not e2e", "-n", "2", "--dist", "worksteal"]
            code = subprocess.run(others, cwd=home, check=False).returncode
            console.print("Now the tests that start a whole stack …")
            worse = max(code, stacks.wait())
        finally:
            if stacks.poll() is None:
                stacks.send_signal(signal.SIGINT)  # pytest takes its stacks down
                stacks.wait()
        told.seek(0)
        print(told.read(), flush=True)
    return worse


def _test_kong(arguments: list[str]) -> int:
    missing = [name for name in ("KONG_ADMIN_URL", "KONG_PROXY_URL") if not os.environ.get(name)]
    if missing:
        console.print(_NO_KONG.format(missing=" and ".join(missing)), markup=False)
        return 2
    _become("-m", "pytest", "tests/kong_contract", *arguments)


_NO_KONG = """{missing} not set: which Kong shall be tested?

  KONG_ADMIN_URL            its Admin API, for example http://127.0.0.1:8001
  KONG_PROXY_URL            its proxy, for example http://127.0.0.1:8000
  MARKETPLACE_KONG_REACHES  this machine as Kong reaches it, for example host.docker.internal (default: 127.0.0.1)

How to start one: CONTRIBUTING.md, "Against a real Kong"."""


def bench(arguments: list[str]) -> int:
    """Run a program of `bench/` in this process's place, or name them all."""
    programs = {path.stem: path for path in sorted((Layout().home / "bench").glob("*.py"))}
    if not arguments:
        for name, path in programs.items():
            print(f"{name:<12}{_summary(path)}")
        return 0
    name, *rest = arguments
    if name not in programs:
        console.print(f"There is no {name} in bench/; there are: {', '.join(programs)}.", markup=False)
        return 2
    _become("-m", f"bench.{name}", *rest)


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def _become(*arguments: str) -> NoReturn:
    """Python with `arguments` takes this process's place: Ctrl-C is for it alone, and it may take its time."""
    os.chdir(Layout().home)
    os.execv(sys.executable, [sys.executable, *arguments])


def simulate(arguments: list[str]) -> int:
    """Run the deterministic simulation in this process's place."""
    _become("-m", "tests.simulation", *arguments)


def check() -> int:
    """Run the house's rules, as `make check` does; the exit code is theirs."""
    return subprocess.run(
        [sys.executable, "-m", "tests.architecture"], cwd=Layout().home, check=False
    ).returncode
