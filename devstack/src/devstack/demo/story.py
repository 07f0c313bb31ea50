"""The story: every step is a call of the public REST surface, every figure is read back through it."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from devstack.demo.calls import Client, Planned, again_while, plan
from devstack.demo.chaos import Killer
from devstack.demo.checks import (
    Expected,
    Metered,
    compare_calls,
    compare_summary,
    compare_unanswered,
    served_unanswered,
    summed,
)
from devstack.demo.documents import media_type, operations
from devstack.demo.narrator import Narrator
from devstack.stack.layout import Layout
from devstack.stack.platform import Addresses, Platform, until
from devstack.stack.roles import ROLES

PLAN = {
    "name": "Growth", "currency": "EUR", "billing_period": "monthly", "fixed_fee": 1900, "included_requests": 100,
    "usage_price": {
        "model": "graduated",
        "tiers": [
            {"up_to": 100, "unit_price": "0.5", "flat_fee": 0},
            {"up_to": None, "unit_price": "0.25", "flat_fee": 0},
        ],
    },
    "quota": None, "rate_limits": {"second": 30, "minute": None, "hour": None, "day": None},
}  # fmt: skip
FEE_PERCENT = "3"
_GOOD, _PER_SECOND = 160, 25.0
_MOST_CALLS = 6_000
_BURSTS = 5  # a burst that a slow machine stretches over two seconds may stay within the limit of each


class Story:
    """One run. Each has organisations of its own, so that what an earlier run left behind disturbs nothing."""

    def __init__(
        self, stack: dict[str, Any], *, document: Path | None, upstream: str, narrator: Narrator, seed: int
    ) -> None:
        self.stack, self.document, self.upstream, self.tell, self.seed = (
            stack,
            document,
            upstream,
            narrator,
            seed,
        )
        self.layout = Layout()
        self.platform = Platform(Addresses.of(stack), patience=60.0)
        self.run = secrets.token_hex(3)
        self.folder = self.layout.run / "demo" / self.run
        self.folder.mkdir(parents=True)
        self.client = Client(stack["kong"]["proxy_url"], self.folder / "client.jsonl")
        self.killer = Killer(self.layout, seed=seed)
        self.admin = self.provider = self.consumer = ""
        self.api: dict[str, Any] = {}
        self.subscription: dict[str, Any] = {}
        self.key = ""
        self.journal_start = 0
        self.differences: list[str] = []

    async def remember_journal(self) -> None:
        """What the upstream served before this run is left out."""
        first = await self.platform.fetch(f"{self.upstream}/__journal?since=0")
        self.journal_start = int(first["total"]) if first else 0

    async def complete_onboarding(self, account: dict[str, Any]) -> None:
        """Do what a provider does in Stripe's onboarding pages, at the Stripe double."""
        stripe = self.stack["stripe"]["url"]
        await self.platform.fetch_post(f"{stripe}/__accounts/{account['account_id']}/complete")

    async def close(self) -> None:
        """Connections and files are closed."""
        await self.client.close()
        await self.platform.__aexit__(None, None, None)

    # from a document to a key

    async def register(self) -> None:
        """The provider's API is published with a plan and live at the gateway."""
        self.tell.chapter("A provider registers an API")
        admin, run = ROLES["admin"], self.run
        self.admin = await self.platform.token(admin.username, slug=admin.slug, name=admin.name)
        self.provider = await self.platform.token(
            f"p-{run}@demo.test", slug=f"provider-{run}", name=f"Provider {run}"
        )
        self.consumer = await self.platform.token(
            f"c-{run}@demo.test", slug=f"consumer-{run}", name=f"Consumer {run}"
        )
        body = {
            "slug": "demo", "name": f"Demo API {run}", "category": "finance", "base_url": self.upstream,
            "description": "Registered by the demo from an OpenAPI document, to follow a call to its invoice.",
        }  # fmt: skip
        api = await self._post("catalog", "/v1/apis", self.provider, body)
        path = f"/v1/apis/{api['id']}"
        content = (
            self.document.read_bytes()
            if self.document
            else files("devstack.upstream").joinpath("openapi.json").read_bytes()
        )
        imported = await self.platform.put(
            "catalog",
            f"{path}/versions/v1/openapi",
            token=self.provider,
            content=content,
            media=media_type(content),
        )
        await self._post("catalog", f"{path}/plans", self.provider, PLAN)
        await self._post("catalog", f"{path}/publish", self.provider, None)
        began = time.monotonic()
        self.api = await until(
            "the API being live at the gateway",
            lambda: self.platform.get("catalog", path, token=self.provider),
            lambda found: found["gateway"]["state"] in ("live", "failed"),
            seconds=60,
        )
        if self.api["gateway"]["state"] == "failed":
            raise RuntimeError(f"the gateway refused the API: {self.api['gateway']['reason']}")
        self.tell.say(f"{imported['operations']} operations imported, {len(imported['warnings'])} warnings")
        self.tell.say(
            f"live at {self.api['gateway']['proxy_url']} {time.monotonic() - began:.1f} s after publishing"
        )

    async def subscribe(self) -> None:
        """The consumer found the API, subscribed and holds a key that the gateway knows."""
        self.tell.chapter("A consumer finds it, subscribes and gets a key")
        found = await self.platform.get("catalog", "/v1/apis", q=f"Demo API {self.run}")
        if self.api["id"] not in [item["id"] for item in found["items"]]:
            self.differences.append("the published API is not found by a search for its name")
        plans = await self.platform.get("catalog", f"/v1/apis/{self.api['id']}/plans")
        body = {"plan_id": plans["items"][0]["id"], "key_name": "demo"}
        made = await until(
            "the plan reaching subscriptions",
            lambda: self._post("subscriptions", "/v1/subscriptions", self.consumer, body),
            lambda _: True,
        )
        self.subscription, self.key = made["subscription"], made["key"]["key"]
        path = f"/v1/subscriptions/{self.subscription['id']}"
        began = time.monotonic()
        await until(
            "the subscription being live at the gateway",
            lambda: self.platform.get("subscriptions", path, token=self.consumer),
            lambda shown: shown["gateway"]["state"] == "live",
            seconds=60,
        )
        self.tell.say(
            f"key {made['key']['prefix']}… is live {time.monotonic() - began:.1f} s after subscribing"
        )

    # the calls

    async def call(self, *, killing: Callable[[Story], Coroutine[Any, Any, None]] | None) -> None:
        """Some hundred calls were made: good ones, wrong keys, over the limit, failing upstream.

        With `killing` they go on until it is done, so that whatever it kills is killed during the calls.
        """
        self.tell.chapter("Calls through the proxy")
        base = self.api["gateway"]["proxy_url"].removeprefix(self.stack["kong"]["proxy_url"]).rstrip("/")
        paced, burst = plan(base, operations(self.document), self.key, good=_GOOD, seed=self.seed)
        if killing:
            await self._call_while(asyncio.ensure_future(killing(self)), paced)
        else:
            await self.client.paced(paced, per_second=_PER_SECOND)
        for _ in range(_BURSTS):
            await self.client.burst(burst)
            if "429" in self.client.by_status():
                break
        self.tell.say(f"{len(self.client.made)} calls: {self.client.by_status()}")
        if cut := self.client.count("unknown"):
            self.tell.say(f"{cut} connections were cut with the answer outstanding")
        if refused := self.client.count("not_sent"):
            self.tell.say(f"{refused} calls found no gateway to take them")

    async def _call_while(self, killers: asyncio.Future[None], paced: list[Planned]) -> None:
        try:
            calls = again_while(paced, lambda: not killers.done(), most=_MOST_CALLS)
            await self.client.paced(calls, per_second=_PER_SECOND)
            if not killers.done():
                raise RuntimeError(f"{_MOST_CALLS} calls ended before the last kill")
            await killers
        finally:
            killers.cancel()

    # what metering says

    async def upstream_entries(self) -> list[dict[str, Any]]:
        """The upstream's journal of this subscription."""
        entries: list[dict[str, Any]] = []
        since = self.journal_start
        while True:
            page = await self._journal_page(since)
            entries += page["entries"]
            if page["next"] == since:
                break
            since = page["next"]
        leaks = [leak for entry in entries for leak in entry["leaks"]]
        if leaks:
            self.differences.append(f"the upstream saw a key or its digest: {leaks[:3]}")
        return [entry for entry in entries if entry["consumer"].get("custom_id") == self.subscription["id"]]

    async def _journal_page(self, since: int) -> Any:
        async def look() -> Any:
            return await self.platform.fetch(f"{self.upstream}/__journal?since={since}")

        return await until("the upstream's journal", look, lambda found: found is not None)

    async def metered_calls(self) -> list[Metered]:
        """Every call of the subscription as metering lists it."""
        found: list[Metered] = []
        cursor: str | None = None
        while True:
            page = await self.platform.get(
                "metering", "/v1/usage/requests", token=self.consumer, subscription_id=self.subscription["id"],
                limit=100, **({"cursor": cursor} if cursor else {}),
            )  # fmt: skip
            found += [
                Metered(i["request_id"], i["status"], i["source"], i["billable"]) for i in page["items"]
            ]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    async def usage(self) -> tuple[Expected, dict[str, Any]]:
        """Usage has arrived, and hour, day and list agree with the client and the upstream."""
        self.tell.chapter("Usage arrives")
        answered = self.client.keyed_answers()
        await until(
            f"{answered} calls being metered",
            self.summary,
            lambda found: found["calls"] >= answered,
            seconds=60,
        )
        await asyncio.sleep(1.0)  # what was cut off may still be on its way
        upstream = await self.upstream_entries()
        metered = await self.metered_calls()
        expected, differences = compare_calls(self.client.made, upstream, metered)
        differences += compare_unanswered(
            self.client.made,
            upstream,
            metered,
            gateway_killed="kong" in [k.process for k in self.killer.kills],
        )
        unanswered = served_unanswered(self.client.made, upstream, metered)
        if unanswered:
            self.tell.say(
                f"{len(unanswered)} calls were served and cut off before the gateway had logged them"
            )
        self.differences += differences + compare_summary(expected, await self.summary(), what="summary")
        shown: dict[str, Any] = {}
        for granularity in ("hour", "day"):
            series = await self._usage("timeseries", granularity=granularity)
            shown[granularity] = series["items"]
            self.differences += compare_summary(expected, summed(series["items"]), what=f"by {granularity}")
            self.tell.table(
                [granularity, "calls", "billable", "429", "5xx"],
                [
                    [
                        i["start"],
                        i["calls"],
                        i["billable_calls"],
                        i["rejected"]["rate_limited"],
                        i["errors_5xx"],
                    ]
                    for i in series["items"]
                    if i["calls"]
                ],
            )
        return expected, shown | {"upstream": len(upstream), "served_unanswered": len(unanswered)}

    async def summary(self) -> Any:
        """The usage summary of the subscription this month."""
        return await self._usage("summary")

    async def _usage(self, what: str, **parameters: str) -> Any:
        month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return await self.platform.get(
            "metering", f"/v1/usage/{what}", token=self.consumer, subscription_id=self.subscription["id"],
            **{"from": month.isoformat(), "to": datetime.now(UTC).isoformat()}, **parameters,
        )  # fmt: skip

    # helpers

    async def _post(self, service: str, path: str, token: str, body: Any) -> Any:
        return await self.platform.post(service, path, token=token, json=body, key=secrets.token_hex(16))

    def organisation(self, token: str) -> str:
        """The organisation that a token acts for."""
        payload = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["org"])
