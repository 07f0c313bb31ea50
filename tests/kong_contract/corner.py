"""A corner of Kong that one test has to itself, and leaves empty."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

import httpx

from tests.kong_contract.target import Target

KINDS = ("routes", "plugins", "services", "key-auths", "acls", "consumers")  # what hangs on others first
PATIENCE_SECONDS = 20.0  # a real Kong takes up to 5 s to see a change
TIMES = 8  # fresh connections in a row: each worker of Kong loads a change by itself
Headers = Sequence[tuple[str, str]]
Answer = TypeVar("Answer")


async def until(ask: Callable[[], Awaitable[Answer]], right: Callable[[Answer], bool]) -> Answer:
    """The first answer that is right; AssertionError with the last one when none is."""
    loop = asyncio.get_running_loop()
    deadline, wait = loop.time() + PATIENCE_SECONDS, 0.01
    while not right(answer := await ask()):
        assert loop.time() < deadline, f"after {PATIENCE_SECONDS} s still {answer!r}"
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, 0.5)
    return answer


class Corner:
    """Everything that is made in it carries its tag, and is gone after `leave`."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.name = f"c{secrets.token_hex(4)}"
        self.tag = f"ns:{self.name}"  # kong-sync's own way to keep marketplaces apart
        self.admin = httpx.AsyncClient(base_url=target.admin_url, timeout=30)
        # each question may reach another worker
        self._proxy = httpx.AsyncClient(
            base_url=target.proxy_url, timeout=30, headers={"Connection": "close"},
            limits=httpx.Limits(max_keepalive_connections=0),
        )  # fmt: skip

    def id(self, word: str) -> str:
        """An id of this corner, the same for the same word."""
        return str(uuid5(NAMESPACE_URL, f"{self.name}/{word}"))

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """The Admin API's answer; what is written carries the corner's tag."""
        if body is not None:
            body = {**body, "tags": [self.tag, *body.get("tags", ())]}
        return await self.admin.request(method, path, json=body)

    async def must(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The parsed answer to a call that has to succeed."""
        answer = await self.ask(method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        parsed: dict[str, Any] = answer.json() if answer.content else {}
        return parsed

    async def listed(self, kind: str, tags: str | None = None, *, size: int = 1_000) -> list[dict[str, Any]]:
        """Every entity of `kind` with the tags, page by page; by default all of this corner."""
        found: list[dict[str, Any]] = []
        query: dict[str, str | int] = {"tags": tags or self.tag, "size": size}
        while True:
            answer = await self.admin.get(f"/{kind}", params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert len(page["data"]) <= size
            found += page["data"]
            if not page.get("offset"):
                assert page["next"] is None
                return found
            query["offset"] = page["offset"]

    async def get(self, path: str, headers: Headers = ()) -> httpx.Response:
        """The proxy's answer on a connection of its own."""
        return await self._proxy.get(path, headers=list(headers))

    async def settled(self, path: str, headers: Headers = (), *, status: int) -> httpx.Response:
        """The proxy's answer once it is `status` on so many fresh connections in a row that all workers say so."""

        async def several() -> httpx.Response:
            for _ in range(TIMES):
                answer = await self.get(path, headers)
                if answer.status_code != status:
                    break
            return answer

        return await until(several, lambda answer: answer.status_code == status)

    async def leftovers(self) -> list[tuple[str, str]]:
        """Kind and id of all that carries this corner's tag."""
        return [(kind, str(one["id"])) for kind in KINDS for one in await self.listed(kind)]

    async def leave(self) -> None:
        """Nothing with this corner's tag is left in Kong."""
        for kind in KINDS:
            for one in await self.listed(kind):
                await self.admin.delete(_address(kind, one))
        left = await self.leftovers()
        await self.admin.aclose()
        await self._proxy.aclose()
        assert left == []


def _address(kind: str, entity: dict[str, Any]) -> str:
    nested = {"key-auths": "key-auth", "acls": "acls"}.get(kind)
    if nested:
        return f"/consumers/{entity['consumer']['id']}/{nested}/{entity['id']}"
    return f"/{kind}/{entity['id']}"
