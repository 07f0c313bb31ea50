"""HTTP/1.1 on the wire: message heads and framed bodies. Whatever could be read in two ways is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from devstack.kong.headers import Headers

MAX_HEAD = 64 * 1024
CHUNK = 64 * 1024
CLIENT_SECONDS = 60.0  # how long a client may pause inside a body
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(r"/[\x21-\x7e\x80-\xff]*|[A-Za-z][A-Za-z0-9+.\-]*://[\x21-\x7e\x80-\xff]+")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://([^/?#]*)(.*)")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\x00-\x20\x7f/\[\]:?#@\\,]+)(?::[0-9]{0,5})?")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\x09\x20-\x7e\x80-\xff]*)?")
_REQUEST_VERSIONS = {"HTTP/1.1", "HTTP/1.0"}


class Malformed(Exception):
    """The peer sent something that is not a well-formed, unambiguous message."""

    def __init__(self, reason: str, *, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Closed(Exception):
    """The peer closed the connection, cleanly before a message or in the middle of one."""


@dataclass(slots=True)
class RequestHead:
    method: str
    target: str
    version: str
    headers: Headers
    size: int  # bytes of the head on the wire

    @property
    def keep_alive(self) -> bool:
        tokens = connection_tokens(self.headers)
        return "close" not in tokens if self.version == "HTTP/1.1" else "keep-alive" in tokens


@dataclass(slots=True)
class ResponseHead:
    version: str
    status: int
    reason: str
    headers: Headers
    size: int

    @property
    def keep_alive(self) -> bool:
        tokens = connection_tokens(self.headers)
        return "close" not in tokens if self.version == "HTTP/1.1" else "keep-alive" in tokens


def connection_tokens(headers: Headers) -> set[str]:
    return {token.strip().lower() for value in headers.get_all("connection") for token in value.split(",")}


def split_target(target: str) -> tuple[str | None, str]:
    """The authority that an absolute request target names, if it is one, and its path with the query."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return None, target
    return absolute[1], absolute[2] if absolute[2].startswith("/") else f"/{absolute[2]}"


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """The bytes up to and including the empty line."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise Malformed("the connection ended inside a message head") from error
        raise Closed from error
    except asyncio.LimitOverrunError as error:
        raise Malformed("the message head is too large") from error
    return head.lstrip(b"\r\n") if head[:2] == b"\r\n" else head


def parse_fields(lines: list[str]) -> Headers:
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):  # also refuses folded lines and "Name :"
            raise Malformed("invalid header field")
        value = value.strip(" \t")
        if _BAD_VALUE.search(value):
            raise Malformed("invalid header value")
        fields.append((name, value))
    return Headers(fields)


def parse_request(raw: bytes) -> RequestHead:
    """A request head whose framing has one reading only."""
    lines = raw.decode("latin-1")[:-4].split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _is_target(parts[0], parts[1]):
        raise Malformed("invalid request line")
    if parts[2] not in _REQUEST_VERSIONS:
        raise Malformed("unsupported version", status=505 if parts[2].startswith("HTTP/") else 400)
    head = RequestHead(parts[0], parts[1], parts[2], parse_fields(lines[1:]), len(raw))
    hosts = head.headers.get_all("host")
    if len(hosts) > 1 or (not hosts and head.version == "HTTP/1.1"):
        raise Malformed("exactly one Host is needed")
    named = split_target(head.target)[0]
    if any(not _HOST.fullmatch(host) for host in hosts) or (named is not None and [named] != hosts):
        raise Malformed("invalid host")
    _refuse_ambiguity(head.headers)
    if "transfer-encoding" in head.headers and head.version == "HTTP/1.0":
        raise Malformed("Transfer-Encoding in HTTP/1.0")
    return head


def _is_target(method: str, target: str) -> bool:
    return bool(_TARGET.fullmatch(target) or (method == "CONNECT" and _HOST.fullmatch(target)))


def parse_response(raw: bytes) -> ResponseHead:
    lines = raw.decode("latin-1")[:-4].split("\r\n")
    version, _, rest = lines[0].partition(" ")
    status, _, reason = rest.partition(" ")
    if (
        version not in _REQUEST_VERSIONS
        or not re.fullmatch("[1-9][0-9]{2}", status)
        or _BAD_VALUE.search(reason)
    ):
        raise Malformed("invalid status line")
    head = ResponseHead(version, int(status), reason, parse_fields(lines[1:]), len(raw))
    _refuse_ambiguity(head.headers)
    return head


def _refuse_ambiguity(headers: Headers) -> None:
    lengths = headers.get_all("content-length")
    codings = headers.get_all("transfer-encoding")
    if len(lengths) > 1 or any(not re.fullmatch(r"[0-9]{1,18}", length) for length in lengths):
        raise Malformed("invalid Content-Length")
    if lengths and codings:
        raise Malformed("both Content-Length and Transfer-Encoding")
    if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
        raise Malformed("unknown Transfer-Encoding", status=501)


class Body:
    """A message body, read piece by piece; `finished` once its last byte is out of the connection."""

    def __init__(self, reader: asyncio.StreamReader, *, length: int | None, chunked: bool) -> None:
        self._reader = reader
        self._left = length
        self._chunked = chunked
        self._in_chunk = 0
        self._pushed_back = b""
        self.timeout: float | None = None  # seconds between two pieces
        self.received = 0
        self.finished = length == 0 and not chunked

    @classmethod
    def of_request(cls, head: RequestHead, reader: asyncio.StreamReader) -> Body:
        chunked = "transfer-encoding" in head.headers
        length = 0 if chunked else int(head.headers.get("content-length") or 0)
        body = cls(reader, length=length, chunked=chunked)
        body.timeout = CLIENT_SECONDS
        return body

    @classmethod
    def of_response(cls, head: ResponseHead, method: str, reader: asyncio.StreamReader) -> Body:
        if method == "HEAD" or head.status in (204, 304) or head.status < 200:
            return cls(reader, length=0, chunked=False)
        if "transfer-encoding" in head.headers:
            return cls(reader, length=None, chunked=True)
        length = head.headers.get("content-length")
        return cls(reader, length=None if length is None else int(length), chunked=False)

    @property
    def chunked(self) -> bool:
        return self._chunked

    @property
    def length(self) -> int | None:
        """Bytes still to come, where known."""
        return None if self._chunked else self._left

    async def read(self) -> bytes:
        """The next piece; empty at the end."""
        if self._pushed_back:
            piece, self._pushed_back = self._pushed_back, b""
            return piece
        if self.finished:
            return b""
        async with asyncio.timeout(self.timeout):
            piece = await (self._read_chunked() if self._chunked else self._read_plain())
        self.received += len(piece)
        return piece

    def push_back(self, piece: bytes) -> None:
        """Make `piece` what is read next; it counts as received already."""
        self._pushed_back = piece

    async def pieces(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece

    async def _read_plain(self) -> bytes:
        piece = await self._reader.read(CHUNK if self._left is None else min(CHUNK, self._left))
        if self._left is not None:
            self._left -= len(piece)
            if not piece:
                raise Closed
        if self._left == 0 or not piece:
            self.finished = True
        return piece

    async def _read_chunked(self) -> bytes:
        if self._in_chunk == 0:
            size = _CHUNK_SIZE.fullmatch(await self._line())
            if size is None:
                raise Malformed("invalid chunk size")
            self._in_chunk = int(size[1], 16)
            if self._in_chunk == 0:
                await self._skip_trailers()
                self.finished = True
                return b""
        piece = await self._reader.read(min(CHUNK, self._in_chunk))
        if not piece:
            raise Closed
        self._in_chunk -= len(piece)
        if self._in_chunk == 0 and await self._line():
            raise Malformed("a chunk is longer than its size")
        return piece

    async def _skip_trailers(self) -> None:
        """They are left out, but must be fields like any other."""
        read = 0
        while line := await self._line():
            read += len(line)
            if read > MAX_HEAD:
                raise Malformed("the trailers are too large")
            parse_fields([line.decode("latin-1")])

    async def _line(self) -> bytes:
        try:
            return (await self._reader.readuntil(b"\r\n"))[:-2]
        except asyncio.IncompleteReadError as error:
            raise Closed from error
        except asyncio.LimitOverrunError as error:
            raise Malformed("chunk line too long") from error


def frame_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
