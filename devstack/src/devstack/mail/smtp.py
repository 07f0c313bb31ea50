"""Just enough of SMTP (RFC 5321) for a client that sends plain messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

_LONGEST_LINE = 64 * 1024
_LARGEST_MESSAGE = 4 * 1024 * 1024
_SILENCE_SECONDS = 60.0


@dataclass(slots=True)
class Envelope:
    """Who sends to whom, as the conversation says."""

    sender: str = ""
    recipients: list[str] = field(default_factory=list)


Deliver = Callable[[Envelope, bytes], None]


class SmtpServer:
    """Hands each message to `deliver`. `answer_data` is asked after that what to say of it: None hangs up."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self.answer_recipient = "250 recipient ok"
        self.answer_data_begin: str | None = "354 end with a dot"
        self.answer_data: str | None = "250 taken"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until its client leaves."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            await self._converse(reader, writer)
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        envelope = Envelope()
        await _say(writer, "220 development mail server")
        while line := await _line(reader):
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            match verb.upper():
                case "EHLO" | "HELO":
                    await _say(writer, f"250-hello\r\n250-8BITMIME\r\n250 SIZE {_LARGEST_MESSAGE}")
                case "MAIL":
                    envelope = Envelope(_address(rest))
                    await _say(writer, "250 sender ok")
                case "RCPT":
                    if self.answer_recipient.startswith("2"):
                        envelope.recipients.append(_address(rest))
                    await _say(writer, self.answer_recipient)
                case "DATA":
                    if not await self._data(reader, writer, envelope):
                        return
                case "RSET":
                    envelope = Envelope()
                    await _say(writer, "250 forgotten")
                case "NOOP":
                    await _say(writer, "250 ok")
                case "QUIT":
                    await _say(writer, "221 bye")
                    return
                case _:
                    await _say(writer, "502 not here")

    async def _data(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, envelope: Envelope
    ) -> bool:
        """False when the connection is to end."""
        if not envelope.recipients:
            await _say(writer, "503 nobody to send to")
            return True
        if self.answer_data_begin is None:
            return False
        await _say(writer, self.answer_data_begin)
        if not self.answer_data_begin.startswith("3"):
            return True
        lines, size = [], 0
        while (line := await _line(reader)) and line != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
            size += len(line)
        if not line or size > _LARGEST_MESSAGE:
            return False
        self._deliver(envelope, b"".join(lines))
        if self.answer_data is None:
            return False
        await _say(writer, self.answer_data)
        return True


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(_SILENCE_SECONDS):
        return await reader.readline()


async def _say(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(f"{text}\r\n".encode())
    await writer.drain()


def _address(argument: str) -> str:
    """The address in `FROM:<…>` or `TO:<…>`."""
    return argument.partition("<")[2].partition(">")[0]


async def serve(server: SmtpServer, *, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    """`server` listens; port 0 is a free one."""
    return await asyncio.start_server(server.talk, host, port, limit=_LONGEST_LINE)
