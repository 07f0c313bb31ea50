"""Starts a development double as the supervisor does: a program of its own, met only by URL."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

START_SECONDS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Program:
    """A double on a port of its own; it keeps port and state over restarts."""

    module: str
    state: Path
    arguments: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", self.module, "--port", str(self.port), "--state", str(self.state)]
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "stderr.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *self.arguments], stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.state / "stderr.log").read_text()
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/livez").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"{self.module} did not come up in {START_SECONDS} s")

    def kill(self) -> None:
        """kill -9: nothing is flushed, nothing is said."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)


@contextlib.contextmanager
def running(module: str, state: Path, *arguments: str) -> Iterator[Program]:
    program = Program(module, state, list(arguments))
    program.start()
    try:
        yield program
    finally:
        program.stop()
