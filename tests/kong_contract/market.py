"""A small marketplace as kong-sync wants it in Kong, put there entity by entity."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from common.clock import SystemClock
from common.ids import derived_id
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.clients.kong_proxy import KongProxy
from kong_sync.clients.lua_files import read_lua
from kong_sync.domain.desired import desired_entities
from kong_sync.domain.edge import Edge
from kong_sync.domain.entities import Entity, Kind
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import Api, Key, Subscription, Tables
from kong_sync.usecases.show_canary import show_canary
from tests.gateway.keys import a_key as a_key_text
from tests.kong_contract.corner import PATIENCE_SECONDS, TIMES, Corner, Headers, until
from tests.kong_contract.listener import Listener
from tests.kong_sync.factories import (
    a_key,
    a_phase,
    a_quota,
    a_subscription,
    a_version,
    an_api,
    some_tables,
)

LUA = Path(__file__).parents[2] / "gateway" / "lua"
CLOCK = SystemClock()


def gateway_of(corner: Corner, sink: Listener) -> Gateway:
    """Kong as kong-sync meets it, with the corner's name as the marketplace's namespace."""
    edge = Edge(
        namespace=corner.name, ingest_url=sink.url, derive=derived_id, log_batch_seconds=0.1,
        default_calls_per_second=2,
        lua=read_lua(LUA, problem_base="/problems/", portal_url=""),
    )  # fmt: skip
    return Gateway(
        admin=KongAdmin(corner.target.admin_url, timeout_seconds=30), proxy=KongProxy(corner.target.proxy_url),
        edge=edge, public_proxy_url=corner.target.proxy_url, canary_connections=TIMES,
        canary_timeout_seconds=PATIENCE_SECONDS,
    )  # fmt: skip


class Market:
    """The API `pay`, with subscriptions in every state; `other`, that nobody bought; `dead`, whose server is down."""

    def __init__(self, corner: Corner, upstream: Listener, sink: Listener) -> None:
        self.corner, self.upstream, self.sink = corner, upstream, sink
        self.gateway = gateway_of(corner, sink)
        self.edge: Edge = self.gateway.edge
        self.slug = f"acme-{corner.name}"
        now = CLOCK.now()
        self._phase = a_phase(since=now - timedelta(days=1), limits=Limits(hour=1_000))
        self.keys: dict[str, str] = {}
        self.pay = self._api("pay", upstream.url)
        self.dead = self._api("dead", f"http://{corner.target.reaches}:1")
        self.subscriptions = {
            word: self._subscription(word)
            for word in ("alice", "bob", "limited", "bare", "late", "paused", "revoked", "expired")
        }
        self.subscriptions["limited"] = self._subscription("limited", limits=Limits(day=3))
        self.subscriptions["unlimited"] = self._subscription("unlimited", limits=Limits())
        self.subscriptions["paused"] = self._subscription("paused", status="paused")
        counted = replace(self._phase, units_header="x-rows")
        self.subscriptions["counted"] = replace(self._subscription("counted"), phases=(counted,))
        self.subscriptions["unlucky"] = self._subscription("unlucky", api=self.dead)
        credentials = {word: self._key(word) for word in self.subscriptions}
        credentials["revoked"] = replace(credentials["revoked"], status="revoked")
        credentials["expired"] = replace(credentials["expired"], expires_at=now - timedelta(minutes=1))
        self.credentials = credentials
        self.until = now + timedelta(hours=1)
        apis = [self.pay, self.dead, self._api("other", upstream.url)]
        versions = [a_version(id=corner.id(f"v1 {api.slug}"), api_id=api.id) for api in apis]
        ended = {"state": "sunset", "sunset_at": now - timedelta(days=1), "is_latest": False}
        versions.append(a_version(id=corner.id("v0 pay"), api_id=self.pay.id, name="v0", **ended))
        self.tables: Tables = some_tables(
            apis=apis,
            versions=versions,
            subscriptions=self.subscriptions.values(),
            keys=credentials.values(),
            quotas=[
                a_quota(subscription_id=corner.id("late"), state="reached", until=self.until),
            ],
        )

    def _api(self, slug: str, url: str) -> Api:
        return an_api(
            id=self.corner.id(f"api {slug}"), provider_id=self.corner.id("acme"), provider_slug=self.slug,
            slug=slug, base_url=url,
        )  # fmt: skip

    def _subscription(
        self, word: str, *, api: Api | None = None, limits: Limits | None = None, **fields: Any
    ) -> Subscription:
        phase = self._phase if limits is None else replace(self._phase, limits=limits)
        return a_subscription(
            id=self.corner.id(word), api_id=(api or self.pay).id, phases=(phase,),
            provider_id=self.corner.id("acme"), organisation_id=self.corner.id("buyer"), **fields,
        )  # fmt: skip

    def _key(self, word: str) -> Key:
        self.keys[word] = a_key_text(f"{self.corner.name}{word}".ljust(43, "0"))
        return a_key(
            id=self.corner.id(f"key {word}"), subscription_id=self.corner.id(word), changed_at=CLOCK.now(),
            sha256=self.digest(word),
        )  # fmt: skip

    def digest(self, word: str) -> str:
        """By what Kong knows the key."""
        return hashlib.sha256(self.keys[word].encode()).hexdigest()

    def entities(self, generation: str = "g1") -> list[Entity]:
        """All of it, parents first."""
        return desired_entities(self.tables, self.edge, generation=generation, now=CLOCK.now())

    def entity(self, kind: Kind, part: str) -> Entity:
        """The one of that kind that is `part` of this marketplace."""
        (found,) = (e for e in self.entities() if e.kind is kind and e.id == self.edge.id_of(part))
        return found

    async def set_up(self) -> None:
        """All of it stands in Kong, and every worker has loaded it."""
        for entity in self.entities():
            await self.gateway.admin.put(entity)
        assert (await show_canary(self.gateway, f"{self.corner.name}0")).seen
        await self.corner.settled(f"/{self.slug}/nothing", status=404)
        await self.corner.settled(f"/{self.slug}/pay/v1/ready", self.key("alice"), status=200)
        await self.corner.settled(f"/{self.slug}/dead/v1/ready", self.key("unlucky"), status=502)
        await self.corner.settled(f"/{self.slug}/other/v1/ready", self.key("alice"), status=403)

    def key(self, word: str) -> Headers:
        """The headers of a call with the key of that subscription."""
        return (("X-API-Key", self.keys[word]),)

    async def get(self, path: str, headers: Headers = ()) -> httpx.Response:
        """The answer to a call below the provider's path."""
        return await self.corner.get(f"/{self.slug}{path}", headers)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The log entries that have arrived, unpacked from their batches."""
        return [entry for body in self.sink.bodies for entry in json.loads(body)]

    async def entry(self, answer: httpx.Response) -> dict[str, Any]:
        """The log entry of the call that got this answer."""
        wanted = answer.headers["X-Kong-Request-Id"]

        async def look() -> list[dict[str, Any]]:
            return [entry for entry in self.entries if entry["request"]["id"] == wanted]

        (found,) = await until(look, lambda found: len(found) == 1)
        return found

    def says_no_secret(self, text: str) -> bool:
        """Whether `text` holds neither a key nor a digest of this marketplace."""
        secrets = [*self.keys.values(), *(self.digest(word) for word in self.keys)]
        return not any(secret in text for secret in secrets)

    async def leave(self) -> None:
        """Nothing of it is left in Kong."""
        await self.gateway.close()
        await self.corner.leave()


def request_line(head: str) -> str:
    """The method and target of a request's head."""
    return head.split(" HTTP/", 1)[0]
