"""Kong's Admin API: list what carries our tags, put and delete single entities. Every call may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlencode

import httpx
import msgspec

from common.retry import retrying
from kong_sync.clients.errors import KongRejected, KongUnavailable, kong_message
from kong_sync.clients.http1 import Http1
from kong_sync.domain.entities import Entity, Kind

_PAGE = 1_000
_NESTED = {Kind.ACL: "acls", Kind.CREDENTIAL: "key-auth"}


class _Failed(Exception):
    """Kong answered, and not with a success."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status, self.text = status, body.decode(errors="replace")


@contextmanager
def _kong_errors(action: str) -> Iterator[None]:
    try:
        yield
    except _Failed as error:
        # 429 and 408 come from something in front of Kong, and pass
        if error.status >= 500 or error.status in {408, 429}:
            raise KongUnavailable(action, f"{error.status} {error.text[:200]}") from error
        raise KongRejected(action, status=error.status, detail=_detail(error.text)) from error
    except (httpx.TransportError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KongUnavailable(action, f"{type(error).__name__}: {error}") from error


def _detail(text: str) -> str:
    try:
        return kong_message(msgspec.json.decode(text))
    except msgspec.DecodeError:
        return text[:300]


class KongAdmin:
    """A client of the Admin API at `url`. `on_call` hears of each call's method and outcome."""

    def __init__(
        self, url: str, *, timeout_seconds: float = 10.0, attempts: int = 3,
        transport: httpx.AsyncBaseTransport | None = None,
        on_call: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:  # fmt: skip
        self._attempts = attempts
        self._on_call = on_call
        # httpx's Client would cost more than all the rest of a call, and Kong needs nothing of what it adds
        self._transport = transport or Http1()
        self._timeout = httpx.Timeout(timeout_seconds, connect=2.0).as_dict()
        base = httpx.URL(url)
        self._base = base.copy_with(userinfo=b"")
        self._path = base.raw_path.rstrip(b"/")
        self._headers = _headers(base)

    async def node(self) -> dict[str, Any]:
        """What the node says of itself."""
        return await self._call("GET", "/")

    async def dump(self, tags: Sequence[str]) -> dict[Kind, list[dict[str, Any]]]:
        """Every entity that carries all of `tags`, by kind; without tags simply every entity."""
        found = await asyncio.gather(*(self._list(kind, tags) for kind in Kind))
        return dict(zip(Kind, found, strict=True))

    async def find(self, kind: Kind, id_: str) -> dict[str, Any] | None:
        """The entity as it stands in Kong, None when there is none of this id."""
        try:
            return await self._call("GET", f"/{kind}/{id_}")
        except KongRejected as error:
            if error.status == 404:
                return None
            raise

    async def put(self, entity: Entity) -> None:
        """`entity` stands in Kong with exactly these fields; what it leaves unnamed has Kong's default."""
        body = dict(entity.fields)
        if entity.kind in _NESTED:
            body.pop("consumer")
        await self._call("PUT", _address(entity), body=body)

    async def delete(self, entity: Entity) -> None:
        """`entity` does not stand in Kong."""
        try:
            await self._call("DELETE", _address(entity))
        except KongRejected as error:
            if error.status != 404:  # with what it hung on, it is gone as well
                raise

    async def close(self) -> None:
        """All connections are closed."""
        await self._transport.aclose()

    async def _list(self, kind: Kind, tags: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        parameters: dict[str, str | int] = {"size": _PAGE}
        if tags:
            parameters["tags"] = ",".join(tags)
        while True:
            page = await self._call("GET", f"/{kind}", parameters=parameters)
            found += page["data"]
            offset = page.get("offset")
            if not offset:
                return found
            parameters["offset"] = offset

    async def _call(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str | int] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        failed: KongUnavailable | None = None
        try:
            return await self._once(method, path, body=body, parameters=parameters)
        except KongUnavailable as error:
            failed = error
        # only now, for setting up the attempts costs a fifth of a call; what failed counts as the first of them
        async for attempt in retrying(on=KongUnavailable, attempts=self._attempts):
            with attempt:
                if failed is not None:
                    first, failed = failed, None
                    raise first
                return await self._once(method, path, body=body, parameters=parameters)
        raise AssertionError("unreachable: the last error is raised")  # pragma: no cover

    async def _once(
        self, method: str, path: str, *, body: Mapping[str, Any] | None,
        parameters: Mapping[str, str | int] | None,
    ) -> dict[str, Any]:  # fmt: skip
        outcome = "unavailable"
        try:
            with _kong_errors(f"{method} {path}"):
                request = self._request(
                    method, f"{path}?{urlencode(parameters)}" if parameters else path, body
                )
                response = await self._transport.handle_async_request(request)
                status, text = response.status_code, await _whole(response)
                outcome = "refused" if 400 <= status < 500 else outcome
                if not 200 <= status < 300:
                    raise _Failed(status, text)
                answer: dict[str, Any] = msgspec.json.decode(text) if text else {}
                outcome = "ok"
                return answer
        finally:
            self._on_call(method, outcome)

    def _request(self, method: str, target: str, body: Mapping[str, Any] | None) -> httpx.Request:
        """All of it as it is sent: what httpx works out by itself, the address first of all, costs more than a call."""
        content, headers = b"", list(self._headers)
        if body is not None:
            content = msgspec.json.encode(body)
            headers.append((b"Content-Type", b"application/json"))
        headers.append((b"Content-Length", b"%d" % len(content)))
        return httpx.Request(
            method, self._base, headers=headers, stream=httpx.ByteStream(content),
            extensions={"timeout": self._timeout, "target": self._path + target.encode("ascii")},
        )  # fmt: skip


async def _whole(response: httpx.Response) -> bytes:
    """The body as it came: nobody was asked to compress it."""
    stream = cast(httpx.AsyncByteStream, response.stream)
    return b"".join([part async for part in stream])


def _headers(url: httpx.URL) -> list[tuple[bytes, bytes]]:
    """The host, and the name and password in `url` where it holds any."""
    found = [(b"Host", url.netloc)]
    if url.userinfo:
        flow = httpx.BasicAuth(url.username, url.password).auth_flow(httpx.Request("GET", url))
        found.append((b"Authorization", next(flow).headers["Authorization"].encode("ascii")))
    return found


def _address(entity: Entity) -> str:
    nested = _NESTED.get(entity.kind)
    if nested:
        return f"/consumers/{entity.fields['consumer']['id']}/{nested}/{entity.id}"
    return f"/{entity.kind}/{entity.id}"
