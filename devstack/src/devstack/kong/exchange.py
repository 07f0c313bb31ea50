"""Everything that is known of one request while it passes through the gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from devstack.kong.fields import Json
from devstack.kong.headers import Headers
from devstack.kong.server import Request

if TYPE_CHECKING:
    from devstack.kong.index import Instance
    from devstack.kong.plugins.base import Plugin

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(slots=True)
class Exit:
    """An answer that the gateway makes itself."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class Exchange:
    """One request, its way, and its answer. `headers` is both what plugins read and what goes upstream."""

    id: str
    request: Request | None  # None for bytes that were no request
    method: str
    raw_path: str
    path: str  # normalised
    raw_query: str
    headers: Headers
    scheme: str
    host: str
    port: int
    client_ip: str
    client_port: int
    started: float  # Unix seconds
    clock: float  # monotonic seconds
    # routing
    route: Json | None = None
    service: Json | None = None
    prefix: str = ""
    captures: dict[str, str] = field(default_factory=dict)
    upstream_path: str = ""
    upstream_host: str | None = None
    target: tuple[str, int] | None = None
    preserve_host: bool = False
    # identity
    consumer: Json | None = None
    credential: Json | None = None
    # plugins
    collected: list[tuple[Plugin, Instance]] = field(default_factory=list)
    exited: Exit | None = None
    notes: dict[Any, Any] = field(default_factory=dict)  # what plugins remember between phases
    lua: dict[str, Any] = field(default_factory=dict)  # Lua tables of this request
    # answer
    status: int = 0
    response: Headers = field(default_factory=Headers)
    source: str = "error"
    body: bytes | None = None  # a request body that was read before it is passed on
    # accounts
    tries: list[Json] = field(default_factory=list)
    upstream_statuses: list[str] = field(default_factory=list)
    tried: bool = False
    answered_by_upstream: bool = False
    kong_ms: int = 0
    upstream_ms: int = -1
    receive_ms: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    log_changes: list[tuple[str, Any, str]] = field(default_factory=list)
    after_log: list[Callable[[], None]] = field(default_factory=list)

    @property
    def request_uri(self) -> str:
        """As the client wrote it."""
        return self.request.head.target if self.request else ""

    @property
    def upstream_uri(self) -> str:
        return f"{self.upstream_path}?{self.raw_query}" if self.raw_query else self.upstream_path

    async def hold_body(self, limit: int) -> bool:
        """Read the request's body, so that a try can be repeated and a chunked one gets a length.

        False when it is longer than `limit`; then it is as if nothing had been read.
        """
        body = self.request.body if self.request else None
        if self.body is not None or body is None or body.finished:
            return self.body is None or len(self.body) <= limit
        if body.length is not None and body.length > limit:
            return False
        held = bytearray()
        async for piece in body.pieces():
            held += piece
            if len(held) > limit:
                body.push_back(bytes(held))
                return False
        self.body = bytes(held)
        return True

    def exit(self, status: int, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> None:
        """End the access phase with this answer. The first one stands."""
        if self.exited is None:
            self.exited = Exit(status, headers or [], body)
            self.source = "exit"

    def exit_json(self, status: int, body: Any, headers: list[tuple[str, str]] | None = None) -> None:
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        self.exit(status, raw, [("Content-Type", JSON_TYPE), *(headers or [])])

    def error(self, status: int, message: str, headers: list[tuple[str, str]] | None = None) -> None:
        """Kong's own error body, in the form that the client accepts."""
        content_type, body = error_body(self.headers.get("accept"), message, self.id)
        self.exit(status, body, [("Content-Type", content_type), *(headers or [])])


def error_body(accept: str | None, message: str, request_id: str) -> tuple[str, bytes]:
    """Content type and body of an error that Kong words itself."""
    accept = (accept or "application/json").lower()
    best = accept.split(",", 1)[0].split(";", 1)[0].strip()
    if best == "text/html":
        page = (
            '<!doctype html>\n<html>\n  <head>\n    <meta charset="utf-8">\n    <title>Error</title>\n  </head>\n'
            f"  <body>\n    <h1>Error</h1>\n    <p>{message}.</p>\n    <p>request_id: {request_id}</p>\n"
            "  </body>\n</html>\n"
        )
        return "text/html; charset=utf-8", page.encode()
    if best == "text/plain":
        return "text/plain; charset=utf-8", f"{message}\nrequest_id: {request_id}\n".encode()
    if best in ("application/xml", "text/xml"):
        xml = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<error>\n  <message>{message}</message>\n'
            f"  <requestid>{request_id}</requestid>\n</error>"
        )
        return "application/xml; charset=utf-8", xml.encode()
    said = json.dumps(message, ensure_ascii=False)
    return JSON_TYPE, f'{{\n  "message":{said},\n  "request_id":"{request_id}"\n}}'.encode()
