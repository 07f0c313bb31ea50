"""Where the stack keeps things: `.run/` in the checkout, and the data folder."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.embedded.privileges import data_root, make_data_root

HOME = Path(__file__).resolve().parents[4]
SERVICES = ("accounts", "catalog", "subscriptions", "metering", "billing", "kong-sync")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # each of them ends the stack


def package(service: str) -> str:
    """The import name of a service; also the name of its database and the prefix of its roles."""
    return service.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files of one stack; MARKETPLACE_RUN names another `.run` (a second stack, a test's)."""

    home: Path = HOME

    @property
    def run(self) -> Path:
        """Everything that tells of the running stack; removed by `reset`."""
        return Path(os.environ.get("MARKETPLACE_RUN") or self.home / ".run")

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.run / "logs"

    @property
    def data(self) -> Path:
        """What must survive a restart."""
        return data_root(self.run)

    @property
    def stack_file(self) -> Path:
        """URLs and tokens for outside checks."""
        return self.run / "stack.json"

    @property
    def state_file(self) -> Path:
        """What the supervisor is doing, for the commands that look at it."""
        return self.run / "state.json"

    @property
    def secrets_file(self) -> Path:
        """The stack's own secrets."""
        return self.run / "secrets.json"

    @property
    def ports_file(self) -> Path:
        """The ports of the last start."""
        return self.run / "ports.json"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor while it lives."""
        return self.run / "supervisor.lock"

    @property
    def gateway_log(self) -> Path:
        """The gateway's file-log: one entry a line for every request that it answered."""
        return self.data / "kong" / "file-log.jsonl"

    def make(self) -> None:
        """The folders exist; `.run` is for its owner only."""
        self.run.mkdir(parents=True, exist_ok=True)
        self.run.chmod(0o700)
        self.logs.mkdir(exist_ok=True)
        make_data_root(self.data)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`, None when there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: Path, value: object) -> None:
    """`path` holds `value` whole, readable by its owner only; a reader never sees half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
    part.replace(path)
