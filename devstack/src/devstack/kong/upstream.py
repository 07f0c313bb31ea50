"""From a routed request to the upstream's answer: target, headers, tries."""

from __future__ import annotations

import re
import time

from devstack.kong import SERVER_TOKEN
from devstack.kong.client import Address, Connection, Pool, Response, Timeouts, UpstreamError, call
from devstack.kong.exchange import Exchange
from devstack.kong.fields import Json
from devstack.kong.headers import Headers
from devstack.kong.index import Index
from devstack.kong.paths import escape
from devstack.kong.wire import Body, connection_tokens

_UNSAFE = re.compile(r"[\x00-\x20\x7f]")
VIA = f"1.1 {SERVER_TOKEN}"
IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"}
# fields about one connection, and those that the gateway writes itself
_DROPPED = {
    "host", "connection", "keep-alive", "proxy-connection", "proxy", "transfer-encoding", "te", "trailer", "upgrade",
    "content-length", "expect", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
    "x-forwarded-port", "x-forwarded-path", "x-forwarded-prefix", "x-real-ip", "x-kong-request-id",
}  # fmt: skip


class Upstreams:
    """Calls the upstream of a request, as often as the service's `retries` allow."""

    def __init__(self, index: Index, pool: Pool) -> None:
        self._index = index
        self._pool = pool
        self._turns: dict[str, dict[str, float]] = {}

    async def call(self, exchange: Exchange, service: Json, body: Body | bytes | None) -> Response:
        """The head of the upstream's answer, its body still to be read. Raises UpstreamError, ClientGone."""
        timeouts = Timeouts(*(service[f"{name}_timeout"] / 1000 for name in ("connect", "write", "read")))
        consumed = isinstance(body, Body)
        left = service["retries"]
        while True:
            address = await self._pool.resolve(self._address(exchange, service))
            attempt = _start_try(exchange, address)
            try:
                response = await self._attempt(exchange, address, body, timeouts)
            except UpstreamError as error:
                attempt |= {"state": "failed", "code": error.status}
                exchange.upstream_statuses.append(str(error.status))
                repeatable = not error.sent or (exchange.method in IDEMPOTENT and not consumed)
                if left <= 0 or not repeatable:
                    raise
                left -= 1
            else:
                exchange.upstream_statuses.append(str(response.head.status))
                return response

    async def _attempt(
        self, exchange: Exchange, address: Address, body: Body | bytes | None, timeouts: Timeouts
    ) -> Response:
        connection = await self._pool.connect(address, timeouts.connect)
        head = _head(exchange, address, body)
        try:
            return await call(self._pool, connection, exchange.method, head, body=body, timeouts=timeouts)
        except UpstreamError as error:
            if (
                not _went_stale(connection, error)
                or isinstance(body, Body)
                or exchange.method not in IDEMPOTENT
            ):
                raise
        # The upstream had closed a kept connection; that is no failed try of its own.
        fresh = await self._pool.connect(address, timeouts.connect, fresh=True)
        return await call(self._pool, fresh, exchange.method, head, body=body, timeouts=timeouts)

    def _address(self, exchange: Exchange, service: Json) -> Address:
        tls = service["protocol"] in ("https", "grpcs", "tls", "wss")
        verify = bool(service.get("tls_verify"))
        if exchange.target is not None:
            return Address(*exchange.target, tls=tls, verify=verify)
        targets = self._index.targets(service["host"])
        if targets is None:
            return Address(service["host"], service["port"], tls=tls, verify=verify)
        chosen = self._next_target(service["host"], [target for target in targets if target["weight"] > 0])
        if chosen is None:
            raise UpstreamError(503, "failure to get a peer from the ring-balancer", sent=False)
        host, _, port = chosen["target"].rpartition(":")
        return Address(host, int(port), tls=tls, verify=verify)

    def _next_target(self, upstream: str, targets: list[Json]) -> Json | None:
        """Smooth weighted round robin."""
        if not targets:
            return None
        turns = self._turns.setdefault(upstream, {})
        for target in targets:
            turns[target["id"]] = turns.get(target["id"], 0) + target["weight"]
        chosen = max(targets, key=lambda target: turns[target["id"]])
        turns[chosen["id"]] -= sum(target["weight"] for target in targets)
        return chosen


def _went_stale(connection: Connection, error: UpstreamError) -> bool:
    return not connection.fresh and error.status == 502 and error.sent


def _start_try(exchange: Exchange, address: Address) -> Json:
    now = time.time()
    exchange.tried = True
    attempt: Json = {
        "ip": address.ip,
        "port": address.port,
        "balancer_start": int(now * 1000),
        "balancer_start_ns": now * 1e9,
        "balancer_latency": 0,
        "balancer_latency_ns": 0,
    }
    exchange.tries.append(attempt)
    return attempt


def _head(exchange: Exchange, address: Address, body: Body | bytes | None) -> bytes:
    """The request head as the upstream gets it, in Kong's order."""
    default_port = 443 if address.tls else 80
    authority = address.host if address.port == default_port else f"{address.host}:{address.port}"
    host = (
        exchange.upstream_host
        or (exchange.headers.get("host") if exchange.preserve_host else None)
        or authority
    )
    via = exchange.headers.get("via")
    forwarded = exchange.headers.get_all("x-forwarded-for")
    fields = Headers(
        [
            ("Via", f"{via}, {VIA}" if via else VIA),
            ("Host", host),
            ("Connection", "keep-alive"),
            ("X-Forwarded-For", ", ".join([*forwarded, exchange.client_ip])),
            ("X-Forwarded-Proto", exchange.scheme),
            ("X-Forwarded-Host", exchange.host),
            ("X-Forwarded-Port", str(exchange.port)),
            ("X-Forwarded-Path", exchange.raw_path),
        ]
    )
    if exchange.prefix:
        fields.add("X-Forwarded-Prefix", escape(exchange.prefix))
    fields.add("X-Real-IP", exchange.client_ip)
    fields.add("X-Kong-Request-Id", exchange.id)
    if isinstance(body, bytes):
        fields.add("Content-Length", str(len(body)))
    elif isinstance(body, Body) and body.chunked:
        fields.add("Transfer-Encoding", "chunked")
    elif isinstance(body, Body):
        fields.add("Content-Length", exchange.headers.get("content-length") or "0")
    named = connection_tokens(exchange.headers)
    for name, value in exchange.headers:
        if name.lower() not in _DROPPED and name.lower() not in named:
            fields.add(name, value)
    if "trailers" in (exchange.headers.get("te") or "").lower():
        fields.add("TE", "trailers")
    target = _UNSAFE.sub(
        lambda found: f"%{ord(found[0]):02X}", exchange.upstream_uri
    )  # plugins may have made it
    return f"{exchange.method} {target} HTTP/1.1\r\n".encode("latin-1", "replace") + fields.encode() + b"\r\n"
