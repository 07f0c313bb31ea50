"""The thin layer over ASGI: requests in, answers out, and a way to cut a connection."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from devstack.stripe.store import Json

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MAX_BODY_BYTES = 1_048_576
_transports: dict[tuple[str, int], asyncio.Transport] = {}


class CuttableProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, with each connection's transport at hand for a cut."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            _transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            _transports.pop(self.client, None)
        super().connection_lost(exc)


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose body has been read. Header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int] | None

    @property
    def is_write(self) -> bool:
        return self.method == "POST"

    def json(self) -> Json:
        """The body of a control as an object; an empty or other body counts as an empty object."""
        try:
            content = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `cut`: nothing does, and the connection is gone."""

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    html: str | None = None
    cut: bool = False

    def encoded(self) -> bytes:
        return self.html.encode() if self.html is not None else json.dumps(self.content, indent=2).encode()


async def read(scope: Message, receive: Receive) -> Request:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if (
            message["type"] == "http.disconnect"
            or not message.get("more_body")
            or len(body) > _MAX_BODY_BYTES
        ):
            break
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=bytes(body),
        client=tuple(scope["client"]) if scope["client"] else None,
    )


async def write(send: Send, request: Request, answer: Answer) -> None:
    if answer.cut:
        await _cut(request)
        return
    body = answer.encoded()
    kind = "text/html; charset=utf-8" if answer.html is not None else "application/json"
    headers = {"content-type": kind, "content-length": str(len(body)), **answer.headers}
    encoded = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})


async def _cut(request: Request) -> None:
    transport = _transports.get(request.client) if request.client else None
    if transport is not None:
        transport.abort()
    # uvicorn must notice the loss before the application returns without an answer, or it would report a bug.
    await asyncio.sleep(0.05)
