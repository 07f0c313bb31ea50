"""What somebody else has in the same Kong, and all that can be seen of it."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import urlsplit

from tests.kong_contract.corner import Corner
from tests.kong_contract.listener import Listener

# What is another in each of two equal answers.
_VARYING = re.compile(rb"[0-9a-f]{32}|(?<=-Latency: )\d+|(?<=\r\nDate: )[^\r]+")


class Operator:
    """A service with an open route and one that asks for a key of the operator's; and a path that nobody answers."""

    def __init__(self, corner: Corner, upstream: Listener) -> None:
        self.corner, self.upstream = corner, upstream
        self.key = f"plain-{corner.name}"
        self.open, self.closed = f"/{corner.name}-open", f"/{corner.name}-closed"

    @property
    def paths(self) -> list[str]:
        """Where the Admin API shows what is the operator's."""
        corner = self.corner
        routes = [f"/routes/{corner.id(word)}" for word in ("op open", "op closed")]
        consumer = f"/consumers/{corner.id('op')}"
        return [
            f"/services/{corner.id('op')}", f"/services/{corner.id('op')}/plugins", *routes,
            *(f"{route}/plugins" for route in routes), consumer, f"{consumer}/key-auth", f"{consumer}/acls",
            f"{consumer}/plugins",
        ]  # fmt: skip

    async def set_up(self) -> None:
        """All of it works."""
        corner, service = self.corner, {"service": {"id": self.corner.id("op")}}
        # One of kong-sync's two tags stands on all of it: a copied tag makes nothing ours.
        url = {"name": f"{corner.name}-op", "url": self.upstream.url}
        await corner.must("PUT", f"/services/{corner.id('op')}", url)
        for word, path in (("op open", self.open), ("op closed", self.closed)):
            route = {"name": path[1:], "paths": [path], **service}
            await corner.must("PUT", f"/routes/{corner.id(word)}", route)
        key_auth = {"name": "key-auth", "route": {"id": corner.id("op closed")}}
        await corner.must("PUT", f"/plugins/{corner.id('op key-auth')}", key_auth)
        await corner.must("PUT", f"/consumers/{corner.id('op')}", {"username": f"{corner.name}-op"})
        path = f"/consumers/{corner.id('op')}/key-auth/{corner.id('op key')}"
        await corner.must("PUT", path, {"key": self.key})
        await corner.settled(self.open, status=200)
        await corner.settled(self.closed, status=401)
        await corner.settled(self.closed, [("apikey", self.key)], status=200)

    async def take(self, key: str) -> None:
        """The operator's consumer has this key, too."""
        corner = self.corner
        path = f"/consumers/{corner.id('op')}/key-auth/{corner.id('op second key')}"
        await corner.must("PUT", path, {"key": key})

    async def call_all(self) -> dict[str, bytes]:
        """Each kind of call's answer, byte for byte but for what differs between two equal ones."""
        keyed = f"{self.closed}/x"
        calls = {
            "open": (f"{self.open}/x?a=1", ""),
            # our functions take this key out of the request; here it is the operator's
            "open, with a header that is ours elsewhere": (f"{self.open}/y", "X-API-Key: mk_live_theirs\r\n"),
            "with a key": (keyed, f"apikey: {self.key}\r\n"),
            "without a key": (keyed, ""),
            "with a wrong key": (keyed, "apikey: wrong\r\n"),
            "404": (f"/{self.corner.name}-nowhere", ""),
        }
        return {name: await self._raw(path, header) for name, (path, header) in calls.items()}

    async def picture(self) -> dict[str, Any]:
        """What the Admin API shows of it, what callers get, what its server is asked, and every global plugin."""
        admin = self.corner.admin
        shown: dict[str, Any] = {path: (await admin.get(path)).json() for path in self.paths}
        plugins = [
            one async for one in self._plugins() if not (one["service"] or one["route"] or one["consumer"])
        ]
        seen = len(self.upstream.heads)
        answers = await self.call_all()
        asked = [_VARYING.sub(b"*", head.encode("latin-1")) for head in self.upstream.heads[seen:]]
        return shown | answers | {"asked": asked, "global plugins": plugins}

    async def _plugins(self) -> Any:
        path: str | None = "/plugins?size=1000"
        while path:
            page = (await self.corner.admin.get(path)).json()
            for one in page["data"]:
                yield one
            path = page["next"]

    async def _raw(self, path: str, header: str) -> bytes:
        at = urlsplit(self.corner.target.proxy_url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port or 80)
        request = f"GET {path} HTTP/1.1\r\nHost: operator.example\r\n{header}Connection: close\r\n\r\n"
        writer.write(request.encode())
        answer = await reader.read()
        writer.close()
        return _VARYING.sub(b"*", answer)
