"""One embedded broker for a test run."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from pathlib import Path

from devstack.embedded import broker, ports


class Broker:
    """A broker process that tests may kill and start again (an empty, new cluster each time)."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = ports.free_port(), folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, *, cluster_id: str | None = None) -> None:
        """As a new cluster, or with an id that a cluster had before, as a broker is that has lost its disk."""
        with (self._folder / "broker.log").open("ab") as sink:
            command = broker.command(self.port, cluster_id or secrets.token_hex(8))
            self._process = subprocess.Popen(command, stdout=sink, stderr=sink)
        while not ports.accepts(self.port):
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
