"""A marketplace of one API with one subscription, its gateway and its provider's server."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import Protocol

import httpx

from common.db import Database
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.http1 import Http1
from kong_sync.domain.entities import Entity
from kong_sync.domain.records import Tables
from kong_sync.domain.report import PassReport
from kong_sync.usecases.plan_changes import plan_changes
from kong_sync.usecases.reconcile import reconcile
from tests.gateway.keys import a_key as a_key_text
from tests.kong_sync.factories import a_key, a_subscription, a_version, an_api, an_id, only, some_tables
from tests.kong_sync.market import tell
from tests.support.clock import FixedClock
from tests.support.outbox import outbox_events


class Kong(Protocol):
    """The gateway double, or a real Kong."""

    @property
    def admin_url(self) -> str: ...

    @property
    def proxy_url(self) -> str: ...


class Upstream(Protocol):
    """A provider's server as Kong reaches it: the heads of the requests it got, the headers it adds to its answers."""

    heads: list[str]
    headers: dict[str, str]

    @property
    def url(self) -> str: ...


class Stage:
    """A marketplace of one API with one subscription, its gateway and its provider's server."""

    def __init__(
        self, db: Database, gateway: Gateway, clock: FixedClock, double: Kong, upstream: Upstream
    ) -> None:
        self.db, self.gateway, self.clock, self.double, self.upstream = db, gateway, clock, double, upstream
        name = gateway.edge.namespace  # ids and slugs are of this test alone: all tests share one gateway
        self.key = a_key_text(name.rjust(43, "0"))
        self.slug = f"acme-{name}"
        self.api = an_api(
            id=an_id(f"api {name}"), provider_id=an_id(name), provider_slug=self.slug, base_url=upstream.url
        )
        self.version = a_version(id=an_id(f"v1 {name}"), api_id=self.api.id)
        self.subscription = a_subscription(id=an_id(f"s {name}"), api_id=self.api.id)
        digest = hashlib.sha256(self.key.encode()).hexdigest()
        self.credential = a_key(id=an_id(f"k {name}"), subscription_id=self.subscription.id, sha256=digest)

    @property
    def tables(self) -> Tables:
        return some_tables(
            apis=[self.api],
            versions=[self.version],
            subscriptions=[self.subscription],
            keys=[self.credential],
        )

    async def reconcile(self) -> PassReport:
        return await reconcile(self.db, self.gateway, clock=self.clock, stop=asyncio.Event())

    async def serve(self) -> PassReport:
        return await reconcile(self.db, self.gateway, clock=self.clock, stop=asyncio.Event(), sweep=False)

    async def set_up(self) -> PassReport:
        await tell(self.db, self.tables)
        return await self.reconcile()

    async def desired(self) -> tuple[Entity, ...]:
        return (await plan_changes(self.db, self.gateway, now=self.clock.now(), generation="x")).desired

    async def plan(self) -> list[str]:
        planned = await plan_changes(self.db, self.gateway, now=self.clock.now(), generation="x")
        return [str(change) for change in planned.plan.changes]

    async def call(self, path: str = "/pay/v1/things?a=1", *, key: str | None = None) -> httpx.Response:
        headers = {"X-API-Key": key or self.key}
        # by the light transport: a client of httpx's own takes longer to make than the call
        async with httpx.AsyncClient(
            base_url=self.double.proxy_url, transport=Http1(), trust_env=False
        ) as client:
            return await client.get(f"/{self.slug}{path}", headers=headers)

    async def states(self) -> dict[str, list[str]]:
        told: dict[str, list[str]] = {}
        for event in await outbox_events(self.db):
            told.setdefault(event["topic"], []).append(event["payload"]["state"])
        return told


def neighbours(stage: Stage, many: int) -> Tables:
    """`many` further subscriptions to the API, with a key each."""
    subscriptions = [
        replace(stage.subscription, id=an_id(f"{stage.slug} neighbour {number}")) for number in range(many)
    ]
    keys = [
        a_key(id=an_id(f"key {one.id}"), subscription_id=one.id, sha256=one.id.replace("-", "") * 2)
        for one in subscriptions
    ]
    return only(subscriptions=subscriptions, keys=keys)
