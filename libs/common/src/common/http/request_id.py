"""A request id on every request, answer and log line, and the request's metrics. Plain ASGI: no body is buffered."""

from __future__ import annotations

import re
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.http.errors import unexpected_error
from common.ids import new_id
from common.metrics import HTTP_REQUESTS, HTTP_SECONDS

_SAFE = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestContext:
    """Takes the gateway's request id or makes one, counts the request by its route, answers what was unforeseen."""

    def __init__(self, app: ASGIApp, *, service: str, max_body_bytes: int) -> None:
        self._app, self._service, self._max_body_bytes = app, service, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        offered = Headers(scope=scope).get("x-request-id", "")
        request_id = offered if _SAFE.fullmatch(offered) else new_id().hex
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status, started = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, _bounded(scope, receive, self._max_body_bytes), send_with_id)
        except Exception as error:
            if status:  # too late for another answer: the server cuts the connection
                raise
            # Starlette would answer outside of this class, without the id, and raise again for a second log entry.
            await (await unexpected_error(Request(scope), error))(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", None) or "unmatched"
            HTTP_REQUESTS.labels(self._service, scope["method"], route, str(status or 500)).inc()
            HTTP_SECONDS.labels(self._service, scope["method"], route).observe(time.perf_counter() - started)


def _bounded(scope: Scope, receive: Receive, limit: int) -> Receive:
    """`receive`, until the body is longer than `limit` bytes or says that it will be."""
    told = Headers(scope=scope).get("content-length", "")
    read = int(told) if told.isdigit() and int(told) > limit else 0

    async def receive_bounded() -> Message:
        nonlocal read
        message: Message = {} if read > limit else await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise HTTPException(413, f"The body is longer than {limit} bytes.")
        return message

    return receive_bounded
