"""Just enough of SMTP (RFC 5321) for a client that sends plain messages."""

from __future__ import annotations

import asyncio
import base64
import ssl
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
    """Hands each message to `deliver`. `answer_data` is asked after that what to say of it: None hangs up.

    With `login` (user, password) it takes mail only from who knows it; with `starttls` it can go on encrypted.
    """

    def __init__(
        self,
        deliver: Deliver,
        *,
        login: tuple[str, str] | None = None,
        starttls: ssl.SSLContext | None = None,
    ) -> None:
        self._deliver = deliver
        self._login, self._starttls = login, starttls
        self.credentials: list[tuple[str, bool]] = []  # each that was presented, and whether under TLS
        self.answer_recipient = "250 recipient ok"
        self.answer_data_begin: str | None = "354 end with a dot"
        self.answer_data: str | None = "250 taken"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until its client leaves."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            await self._converse(reader, writer)
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        envelope, is_known = Envelope(), self._login is None
        await _say(writer, "220 development mail server")
        while line := await _line(reader):
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            match verb.upper():
                case "EHLO" | "HELO":
                    await _say(writer, self._abilities(writer))
                case "STARTTLS" | "AUTH":
                    is_known |= await self._admit(verb.upper(), rest, writer)
                case "MAIL":
                    envelope = Envelope(_address(rest))
                    await _say(writer, "250 sender ok" if is_known else "530 log in first")
                case "RCPT":
                    if is_known and self.answer_recipient.startswith("2"):
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

    def _abilities(self, writer: asyncio.StreamWriter) -> str:
        known = ["hello", "8BITMIME", *["AUTH PLAIN"] * (self._login is not None)]
        known += ["STARTTLS"] * (self._starttls is not None and not _is_encrypted(writer))
        return "".join(f"250-{ability}\r\n" for ability in known) + f"250 SIZE {_LARGEST_MESSAGE}"

    async def _admit(self, verb: str, argument: str, writer: asyncio.StreamWriter) -> bool:
        """True for who presented our login."""
        knows = False
        if verb == "STARTTLS" and self._starttls is not None:
            await _say(writer, "220 go on")
            await writer.start_tls(self._starttls)
        elif verb == "AUTH" and self._login is not None:
            knows = self._knows(argument, writer)
            await _say(writer, "235 welcome" if knows else "535 no such user or password")
        else:
            await _say(writer, "502 not here")
        return knows

    def _knows(self, argument: str, writer: asyncio.StreamWriter) -> bool:
        """Whether `PLAIN base64(NUL user NUL password)` is our login."""
        mechanism, _, encoded = argument.partition(" ")
        presented = base64.b64decode(encoded or b"").decode("utf-8", "replace")
        self.credentials.append((presented, _is_encrypted(writer)))
        return mechanism.upper() == "PLAIN" and presented == "\0".join(("", *(self._login or ())))

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


def _is_encrypted(writer: asyncio.StreamWriter) -> bool:
    return writer.get_extra_info("ssl_object") is not None


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(_SILENCE_SECONDS):
        return await reader.readline()


async def _say(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(f"{text}\r\n".encode())
    await writer.drain()


def _address(argument: str) -> str:
    """The address in `FROM:<…>` or `TO:<…>`."""
    return argument.partition("<")[2].partition(">")[0]


async def serve(
    server: SmtpServer, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> asyncio.Server:
    """`server` listens, encrypted from the first byte with `tls`; port 0 is a free one."""
    return await asyncio.start_server(server.talk, host, port, limit=_LONGEST_LINE, ssl=tls)
