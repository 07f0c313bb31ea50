"""A TCP proxy before PostgreSQL that can lose the answer to a COMMIT, be cut, and be turned to another server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_COPY = b"PGCOPY\n"
_COMMIT = b"COMMIT;\x00"
_CHUNK = 1 << 16


@dataclass(slots=True)
class Proxy:
    """Connections to `port` reach `target`. `losses` COMMITs of transactions that copied rows will not be answered."""

    target: int
    port: int = 0
    losses: int = 0
    arrives: bool = True  # what is lost: the server's answer, or (False) the COMMIT itself
    lost: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Every connection is gone, without a word."""
        for writer in list(self._open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        down = asyncio.create_task(self._pass(there, writer))
        try:
            await self._pass_up(reader, back, down)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            down.cancel()
            self._open -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    async def _pass_up(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, down: asyncio.Task[None]
    ) -> None:
        copied = False
        while chunk := await reader.read(_CHUNK):
            copied = copied or _COPY in chunk
            if copied and _COMMIT in chunk:
                copied = False
                if self.losses > 0:
                    self.losses -= 1
                    self.lost += 1
                    down.cancel()
                    if self.arrives:
                        back.write(chunk)
                        await back.drain()
                        await asyncio.sleep(0.2)  # the server carries it out, and nobody hears of it
                    return
            back.write(chunk)
            await back.drain()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def proxied(target: int) -> AsyncIterator[Proxy]:
    """A proxy before the port `target`, until the block ends."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
