"""What the gateway's log queue loses is seen by its own counters, and the invoice waits for an operator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from billing.consumers.period import PeriodEvent, on_period
from billing.db import holds
from billing.usecases.release_hold import release_hold
from common.clock import SystemClock
from common.db import Database
from devstack.kong.gateway import Gateway, Options
from metering.clients.gateway_metrics import GatewayMetrics
from metering.consumers.version import VersionEvent, on_version
from metering.usecases.answer_cutoffs import Patience, answer_cutoffs
from metering.usecases.judge_completeness import judge_completeness
from metering.usecases.make_partitions_ahead import make_partitions_ahead
from metering.usecases.take_readings import take_readings
from tests.billing.factories import ADMIN
from tests.billing.scenario import Scenario
from tests.devstack.kong.conftest import Kong
from tests.devstack.kong.support import Seen, TinyServer, echo, eventually, serving
from tests.metering.factories import (
    API,
    CONSUMER_ORG,
    NAMESPACE,
    PLAN_VERSION,
    PROVIDER_ORG,
    SUBSCRIPTION,
    VERSION,
)
from tests.metering.recording import TOPIC, Recorder
from tests.metering.usecases.test_cutoffs import ask, periods
from tests.support.clock import FixedClock
from tests.support.databases import Databases
from tests.support.outbox import outbox_events

GRACE, BOUND = timedelta(seconds=3), Decimal("99.9")
TAGS = [f"ns:{NAMESPACE}", f"api:{API}", f"version:{VERSION}", f"provider:{PROVIDER_ORG}"]
PAYER = [f"ns:{NAMESPACE}", f"org:{CONSUMER_ORG}", f"plan:{PLAN_VERSION}", "mode:live"]


@pytest.fixture
async def metering(databases: Databases) -> AsyncIterator[Database]:
    urls = await databases.clone("metering")
    database = Database(urls.worker, name="test metering")
    yield database
    await database.dispose()
    await databases.drop(urls)


@pytest.fixture
async def billing(databases: Databases) -> AsyncIterator[Database]:
    urls = await databases.clone("billing")
    database = Database(urls.worker, name="test billing")
    yield database
    await database.dispose()
    await databases.drop(urls)


async def market(kong: Kong, upstream: int, collector: int) -> None:
    """An API with one subscriber, as kong-sync makes them; a log queue with room for three."""
    service = {"name": "acme.pay", "url": f"http://127.0.0.1:{upstream}", "tags": TAGS}
    await kong.must("POST", "/services", service)
    route = {"name": f"route.{VERSION}", "paths": ["/pay"], "tags": TAGS}
    await kong.must("POST", "/services/acme.pay/routes", route)
    await kong.plugin("/services/acme.pay", "key-auth")
    await kong.plugin("/services/acme.pay", "prometheus", per_consumer=True, status_code_metrics=True)
    queue = {"max_entries": 3, "max_batch_size": 3, "max_coalescing_delay": 0.05, "max_retry_delay": 0.05}
    endpoint = f"http://127.0.0.1:{collector}/logs"
    await kong.plugin("/services/acme.pay", "http-log", http_endpoint=endpoint, queue=queue)
    consumer = {"username": f"sub_{SUBSCRIPTION}", "custom_id": SUBSCRIPTION, "tags": PAYER}
    await kong.must("POST", "/consumers", consumer)
    await kong.must("POST", f"/consumers/sub_{SUBSCRIPTION}/key-auth", {"key": "a-key"})


async def read(db: Database, gateway: GatewayMetrics) -> None:
    before = SystemClock().now()
    readings = await gateway.read()
    async with db.begin() as session:
        await take_readings(session, readings, before=before, after=SystemClock().now())


async def lose_calls(metering: Database, recorder: Recorder, folder: Path, *, cutoff: UUID) -> datetime:
    """Ten calls are answered and seven lost on their way to metering; a cut-off follows and is answered."""
    node = Gateway(Options(folder, admin_port=0, proxy_port=0, flush_seconds=0.2), {})
    ports = await node.start()
    kong = Kong(ports["admin"], ports["proxy"], node)
    refusing = True
    taken: list[dict[str, Any]] = []

    def take(seen: Seen) -> tuple[int, bytes]:
        if refusing:
            return 503, b"later"
        taken.extend(json.loads(seen.body))
        return 200, b""

    collector = TinyServer(take)
    async with serving(TinyServer(echo)) as upstream, serving(collector):
        await market(kong, upstream.port, collector.port)
        gateway = GatewayMetrics([f"http://127.0.0.1:{kong.admin_port}/metrics"])
        await kong.get("/pay/x", apikey="a-key")
        await eventually(lambda: len(collector.seen) > 0)
        await asyncio.sleep(1.1)  # that first call ends too early to be near the first reading
        await read(metering, gateway)
        for _ in range(10):
            assert (await kong.get("/pay/x", apikey="a-key")).status == 200
        refusing = False
        await eventually(lambda: len(taken) >= 3)
        until = SystemClock().now()
        await ask(metering, until, cutoff_id=cutoff)
        await read(metering, gateway)
        await gateway.close()
    await node.stop()
    assert len(taken) == 3
    await recorder.record(*taken, taken_at=until, now=until)
    await recorder.watermark(until + timedelta(minutes=1))
    return until


async def test_calls_lost_by_a_full_queue_hold_the_invoice_until_it_is_released(
    metering: Database, billing: Database, tmp_path: Path
) -> None:
    now = SystemClock().now()
    recorder = await Recorder(metering).begin()
    event = VersionEvent.model_validate(
        {"version_id": VERSION, "version": 1, "api_id": API, "name": "v1", "endpoints": []}
    )
    async with metering.begin() as session:
        await make_partitions_ahead(session, now=now)
        await on_version(session, event, now=now)
    scenario = Scenario(billing, FixedClock(now + timedelta(minutes=5)))
    await scenario.sell(
        now.strftime("%Y-%m-01"), subscription=UUID(SUBSCRIPTION), organisation=UUID(CONSUMER_ORG),
        provider=UUID(PROVIDER_ORG), plan=UUID(PLAN_VERSION), api=UUID(API), included_requests=0,
    )  # fmt: skip
    run = await scenario.request((now + timedelta(minutes=4)).strftime("%Y-%m-%d %H:%M:%S"))
    until = await lose_calls(metering, recorder, tmp_path / "kong", cutoff=run.id)
    async with metering.begin() as session:
        judged = await judge_completeness(session, topic=TOPIC, grace=GRACE, bound=BOUND, now=until)
        rule = Patience(timedelta(0), BOUND, timedelta(minutes=15))
        answered = await answer_cutoffs(session, topic=TOPIC, grace=GRACE, patience=rule, now=until)
    assert (judged, answered) == (1, 1)
    [told] = [e["payload"] for e in await outbox_events(metering, "metering.completeness.v1")]
    assert (told["counted"], told["metered"], told["missing"], told["percent"]) == (10, 3, 7, "30.0000")
    [period] = await periods(metering)
    async with billing.begin() as session:
        await on_period(session, PeriodEvent.model_validate(period), now=until)
    await scenario.work()
    assert await scenario.invoices(UUID(CONSUMER_ORG)) == []
    async with billing.begin() as session:
        [hold] = await holds.list_holds(session, only_open=True, run_id=run.id, after=None, limit=10)
        assert (hold.subscription_id, hold.counted, hold.missing) == (UUID(SUBSCRIPTION), 10, 7)
        await release_hold(session, hold.id, released_by=ADMIN, note="agreed with the customer", now=until)
    await scenario.work()
    [invoice] = await scenario.invoices(UUID(CONSUMER_ORG))
    assert [line.draft.quantity for line in invoice.lines if line.draft.kind == "usage"] == [3]
    async with billing.begin() as session:
        [kept] = await holds.list_holds(session, only_open=False, run_id=run.id, after=None, limit=10)
    assert (kept.released_by, kept.note) == (ADMIN, "agreed with the customer")
