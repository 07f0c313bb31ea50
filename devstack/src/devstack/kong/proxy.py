"""The proxy: one request in, one answer out, accounts kept before the answer's last byte leaves."""

from __future__ import annotations

import secrets
import sys
import time

from devstack.kong import SERVER_TOKEN
from devstack.kong.chain import Chain
from devstack.kong.client import ClientGone, NameUnknown, Response, UpstreamError
from devstack.kong.exchange import Exchange, Exit, error_body
from devstack.kong.headers import Headers
from devstack.kong.index import Index
from devstack.kong.paths import BadPath, escape, join_upstream, normalise
from devstack.kong.server import Answer, Request
from devstack.kong.upstream import VIA, Upstreams
from devstack.kong.wire import Body, Malformed, connection_tokens, split_target

BUFFERED = 1 << 20  # a body up to this size is read before it is passed on, as nginx does with any
_HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "trailer"}
_NGINX_MESSAGES = {
    502: "An invalid response was received from the upstream server",
    503: "The upstream server is currently unavailable",
    504: "The upstream server is timing out",
}


class Proxy:
    """Serves the proxy port."""

    def __init__(self, index: Index, chain: Chain, upstreams: Upstreams) -> None:
        self._index = index
        self._chain = chain
        self._upstreams = upstreams

    async def refuse(self, client_ip: str, problem: Malformed, answer: Answer) -> None:
        """Answer bytes that are no request. Global loggers see it, as they do in Kong."""
        exchange = Exchange(
            id=secrets.token_hex(16), request=None, method="GET", raw_path="", path="", raw_query="",
            headers=Headers(), scheme="http", host="kong", port=8000, client_ip=client_ip, client_port=0,
            started=time.time(), clock=time.monotonic(),
        )  # fmt: skip
        await self._bad_request(exchange, answer, status=problem.status)

    async def handle(self, request: Request, answer: Answer) -> None:
        exchange = _exchange(request)
        try:
            exchange.path = normalise(exchange.raw_path)
        except BadPath:
            exchange.request_bytes = len(
                f"{exchange.method} {exchange.request_uri} HTTP/1.1\r\n"
            )  # nginx reads no further
            exchange.request, exchange.headers, exchange.raw_query = None, Headers(), ""
            exchange.host = "kong"
            await self._bad_request(exchange, answer, status=400)
            return
        self._chain.rewrite(exchange)
        if exchange.exited is None and exchange.method in ("TRACE", "CONNECT"):
            exchange.error(405, "Method not allowed")
        if exchange.exited is None:
            self._route(exchange)
        if exchange.route is None:
            self._chain.collect_global(exchange)
        else:
            if exchange.route["request_buffering"]:
                await exchange.hold_body(BUFFERED)
            await self._chain.access(exchange)
        await self._answer(exchange, request, answer)

    def _route(self, exchange: Exchange) -> None:
        match = self._index.router.match(
            exchange.method, exchange.host.lower(), exchange.path, exchange.headers
        )
        service_id = ((match.route.get("service") or {}) if match else {}).get("id")
        service = self._index.service(service_id) if service_id else None
        if match is None or (service_id and (service is None or not service["enabled"])):
            exchange.error(404, "no Route matched with those values")
            return
        route = match.route
        exchange.route, exchange.service, exchange.captures = route, service, match.captures
        exchange.preserve_host = route["preserve_host"]
        strip = route["strip_path"] and bool(match.prefix)
        exchange.prefix = match.prefix if strip else ""
        base = (service or {}).get("path") or "/"
        rest = exchange.path[len(exchange.prefix) :]
        exchange.upstream_path = escape(join_upstream(base, exchange.path, rest, strip=strip))
        if "http" not in route["protocols"]:
            status = route["https_redirect_status_code"]
            exchange.error(status, "Please use HTTPS protocol", [("Upgrade", "TLS/1.2, HTTP/1.1")])
        elif "upgrade" in connection_tokens(exchange.headers) and "upgrade" in exchange.headers:
            exchange.error(501, "Upgrade is not supported by the double of Kong")

    async def _answer(self, exchange: Exchange, request: Request, answer: Answer) -> None:
        if exchange.exited is None and exchange.service is None:
            exchange.error(503, "no Service for this Route")
        if exchange.exited is not None or exchange.service is None:
            await self._own_answer(exchange, answer)
            return
        body: Body | bytes | None = request.body
        if exchange.body is not None:
            body = exchange.body
        elif request.body.finished:
            body = b"" if "content-length" in exchange.headers else None
        exchange.kong_ms = _ms_since(exchange.clock)
        called = time.monotonic()
        try:
            response = await self._upstreams.call(exchange, exchange.service, body)
        except UpstreamError as error:
            exchange.upstream_ms = _ms_since(called) if exchange.tried else -1
            _failed(exchange, error)
            await self._own_answer(exchange, answer)
            return
        except ClientGone:
            exchange.status = 499
            self._account(exchange)
            answer.keep_alive = False
            return
        exchange.upstream_ms = _ms_since(called)
        try:
            await self._pass_on(exchange, response, answer)
        finally:
            response.end()

    async def _bad_request(self, exchange: Exchange, answer: Answer, *, status: int) -> None:
        answer.keep_alive = False
        said = {400: "Bad request", 501: "Not implemented", 505: "HTTP version not supported"}.get(
            status, "Bad request"
        )
        body = error_body("text/plain", said, exchange.id)[1]
        exchange.exited = Exit(status, [("Content-Type", "text/plain; charset=utf-8")], body)
        exchange.source = "error"
        self._chain.collect_global(exchange)
        await self._own_answer(exchange, answer)

    async def _own_answer(self, exchange: Exchange, answer: Answer) -> None:
        """An answer that the gateway made: plugins may still change its head and its body."""
        made = exchange.exited
        if made is None:
            return
        exchange.status = made.status
        for name, value in made.headers:
            exchange.response.set(name, value) if name.lower() != "set-cookie" else exchange.response.add(
                name, value
            )
        body = made.body
        if made.status != 204:
            exchange.response.set("Content-Length", str(len(body)))
        self._chain.header_filter(exchange)
        if self._chain.filters_body(exchange) and answer.method != "HEAD":
            body = self._chain.body_filter(exchange, body, last=False) if body else b""
            body += self._chain.body_filter(exchange, b"", last=True)
        headers = exchange.response
        if exchange.tried:
            _add_upstream_headers(exchange, headers)
        else:
            exchange.kong_ms = _ms_since(exchange.clock)
            headers.add("X-Kong-Response-Latency", str(exchange.kong_ms))
        if "server" not in headers:
            headers.add("Server", SERVER_TOKEN)
        headers.set("X-Kong-Request-Id", exchange.id)
        length = headers.get("content-length")
        if length is not None and answer.method != "HEAD" and length != str(len(body)):
            said = "a body_filter changed the length and no header_filter cleared Content-Length: a broken answer"
            print(f"proxy {exchange.id}: {said}", file=sys.stderr, flush=True)
            answer.keep_alive = False
        raw = answer.head(exchange.status, headers) + answer.frame(body) + answer.ending()
        exchange.response_bytes = len(raw)
        self._account(exchange)
        await answer.write(raw, last=True)

    async def _pass_on(self, exchange: Exchange, response: Response, answer: Answer) -> None:
        """The upstream's answer, piece by piece."""
        head = response.head
        exchange.status, exchange.source, exchange.answered_by_upstream = head.status, "service", True
        named = connection_tokens(head.headers)
        for name, value in head.headers:
            if name.lower() not in _HOP_BY_HOP and name.lower() not in named:
                exchange.response.add(name, value)
        self._chain.header_filter(exchange)
        headers = exchange.response
        _add_upstream_headers(exchange, headers)
        headers.set("X-Kong-Request-Id", exchange.id)
        filters = self._chain.filters_body(exchange)
        reason = head.reason if exchange.status == head.status else None
        pending = answer.head(exchange.status, headers, reason=reason)
        if response.body.length is None and not response.body.finished:
            await answer.write(
                pending
            )  # a stream of unknown length: its head does not wait for its first piece
            pending = b""
        started = time.monotonic()
        try:
            async for piece, last in response.pieces():
                kept = self._chain.body_filter(exchange, piece, last=last) if filters else piece
                pending += answer.frame(kept)
                if last:
                    break
                await answer.write(pending)
                pending = b""
            else:
                if filters:
                    pending += answer.frame(self._chain.body_filter(exchange, b"", last=True))
        except UpstreamError:
            answer.keep_alive = False
            exchange.response_bytes = answer.sent
            self._account(exchange)
            return
        exchange.receive_ms = _ms_since(started)
        pending += answer.ending()
        exchange.response_bytes = answer.sent + len(pending)
        self._account(exchange)
        await answer.write(pending, last=True)

    def _account(self, exchange: Exchange) -> None:
        """Log and count while the last bytes are still held back: what was answered is always on record."""
        if exchange.request is not None:
            exchange.request_bytes = exchange.request.head.size + exchange.request.body.received
        self._chain.log(exchange)


def _exchange(request: Request) -> Exchange:
    path, _, query = split_target(request.head.target)[1].partition("?")
    authority = request.head.headers.get("host") or "127.0.0.1"
    host = authority.rsplit(":", 1)[0] if ":" in authority and not authority.endswith("]") else authority
    return Exchange(
        id=secrets.token_hex(16),
        request=request,
        method=request.head.method,
        raw_path=path,
        path=path,
        raw_query=query,
        headers=request.head.headers.copy(),
        scheme="http",
        host=host,
        port=request.server_port,
        client_ip=request.client_ip,
        client_port=request.client_port,
        started=time.time(),
        clock=time.monotonic(),
    )


def _failed(exchange: Exchange, error: UpstreamError) -> None:
    if isinstance(error, NameUnknown):
        exchange.error(503, "name resolution failed")
    elif error.status == 503:
        exchange.error(503, "failure to get a peer from the ring-balancer")
    else:
        exchange.error(error.status, _NGINX_MESSAGES[error.status])
        exchange.source = "error"


def _add_upstream_headers(exchange: Exchange, headers: Headers) -> None:
    headers.set("X-Kong-Upstream-Latency", str(max(exchange.upstream_ms, 0)))
    headers.set("X-Kong-Proxy-Latency", str(exchange.kong_ms))
    headers.set("Via", VIA)


def _ms_since(moment: float) -> int:
    return int((time.monotonic() - moment) * 1000)
