"""The ASGI application: match the operation, answer, and journal before the first byte leaves."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from devstack.upstream.documents import Document, Operation
from devstack.upstream.examples import example_answer
from devstack.upstream.journal import Journal
from devstack.upstream.messages import Answer, Refused, Request, json_answer

log = logging.getLogger("upstream")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Handler = Callable[[Request, dict[str, str]], Answer]

MAX_BODY_BYTES = 1_048_576
MAX_DELAY_MS = 120_000
_MAX_PADDING_BYTES = 16_777_216


class Upstream:
    """Serves a document: by handlers where it has them, else by examples of the response schemas.

    Any call can be told to misbehave: `X-Simulate-Status`, `X-Simulate-Delay-Ms`, `X-Simulate-Bytes`.
    """

    def __init__(self, document: Document, *, handlers: dict[str, Handler], journal: Journal) -> None:
        self._document = document
        self._handlers = handlers
        self._journal = journal

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        request = Request(
            method=scope["method"],
            path=scope["path"],
            query_string=scope["query_string"].decode("latin-1"),
            headers=tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
            ),
            body=await _body(receive),
        )
        control = self._control(request)
        if control:
            await _send(send, request, control)
            return
        operation, answer = await self._answer(request)
        self._journal.write(request, status=answer.status, operation=operation, size=len(answer.body))
        log.info("request.answered %s %s %s", request.method, request.path, answer.status)
        await _send(send, request, answer)

    def _control(self, request: Request) -> Answer | None:
        """Liveness, the document and the journal itself: not calls of the API, so not journaled."""
        if request.path == "/livez":
            return json_answer({"status": "ok"})
        if request.path == "/openapi.json" and request.method in ("GET", "HEAD"):
            return json_answer(self._document.content)
        if request.path == "/__journal":
            since = parse_qs(request.query_string).get("since", ["0"])[0]
            return json_answer(self._journal.read(int(since) if since.isdigit() else 0))
        return None

    async def _answer(self, request: Request) -> tuple[str | None, Answer]:
        operation = None
        try:
            delay = _simulated(request, "x-simulate-delay-ms", largest=MAX_DELAY_MS)
            if delay:
                await asyncio.sleep(delay / 1000)
            status = _simulated(request, "x-simulate-status", largest=599)
            found = self._find(request)
            operation = found[0].name
            answer = status_answer(status) if status else self._handle(request, *found)
        except Refused as refused:
            answer = problem(refused.status, refused.detail, **refused.headers)
        except Exception:
            log.exception("request.failed %s %s", request.method, request.path)
            answer = problem(500, "The sample upstream has a bug; see its log.")
        return operation, _padded(request, answer)

    def _find(self, request: Request) -> tuple[Operation, dict[str, str]]:
        method = "GET" if request.method == "HEAD" else request.method
        found = self._document.find(request.method, request.path) or self._document.find(method, request.path)
        if found:
            return found
        allowed = self._document.methods_at(request.path)
        if allowed:
            raise Refused(405, f"Use {' or '.join(allowed)} here.", Allow=", ".join(allowed))
        raise Refused(404, "There is no such operation in the API's document.")

    def _handle(self, request: Request, operation: Operation, parameters: dict[str, str]) -> Answer:
        if len(request.body) > MAX_BODY_BYTES:
            raise Refused(413, f"At most {MAX_BODY_BYTES} bytes.")
        handler = self._handlers.get(operation.name)
        return handler(request, parameters) if handler else example_answer(self._document, operation)


def problem(status: int, detail: str, **headers: str) -> Answer:
    """An RFC 9457 problem document."""
    body = {"type": "about:blank", "title": _phrase(status), "status": status, "detail": detail}
    return Answer(status, json.dumps(body).encode(), content_type="application/problem+json", headers=headers)


def status_answer(status: int) -> Answer:
    """An answer with that status, and a body where the status may have one."""
    if status in (204, 205, 304):
        return Answer(status, b"", content_type="")
    if status >= 400:
        return problem(status, "Asked for by the caller.")
    return json_answer({"status": status, "title": _phrase(status)}, status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unnamed status"


def _simulated(request: Request, header: str, *, largest: int) -> int:
    value = request.header(header)
    if value is None:
        return 0
    if not (value.isascii() and value.isdigit() and int(value) <= largest):
        raise Refused(400, f"{header} must be a whole number up to {largest}.")
    number = int(value)
    if header == "x-simulate-status" and number < 200:
        raise Refused(400, "x-simulate-status must be from 200 to 599.")
    return number


def _padded(request: Request, answer: Answer) -> Answer:
    """The answer, blown up with trailing white space when the caller asked for so many bytes."""
    wanted = request.header("x-simulate-bytes") or ""
    if not wanted.isdigit() or not answer.body:
        return answer
    body = answer.body.ljust(min(int(wanted), _MAX_PADDING_BYTES))
    return Answer(answer.status, body, answer.content_type, answer.headers)


async def _body(receive: Receive) -> bytes:
    """The body, of which no more than one byte over the limit is kept."""
    kept = bytearray()
    while True:
        message = await receive()
        kept += message.get("body", b"")[: MAX_BODY_BYTES + 1 - len(kept)]
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return bytes(kept)


async def _send(send: Send, request: Request, answer: Answer) -> None:
    headers = [(b"content-length", str(len(answer.body)).encode())]
    if answer.content_type:
        headers.append((b"content-type", answer.content_type.encode()))
    headers += [
        (name.lower().replace("_", "-").encode(), value.encode()) for name, value in answer.headers.items()
    ]
    if answer.status in (204, 304):
        del headers[0]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if request.method == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
