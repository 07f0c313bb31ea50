"""The worker as shipped: a real broker, a real database, and the development double of Stripe as a program."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import text

from billing import worker
from billing.clients.stripe_gateway import StripeGateway
from billing.db import accounts
from billing.settings import Settings
from billing.usecases.attach_payment_method import attach_payment_method
from billing.usecases.pay_invoice import pay_invoice
from billing.usecases.request_invoice_run import request_invoice_run
from common.clock import SystemClock
from common.db import Database
from devstack.embedded.databases import DatabaseUrls
from tests.billing.api.conftest import billing_settings
from tests.billing.factories import API, CONSUMER, PLAN, PROVIDER, SUBSCRIPTION, an_id, at, terms_json
from tests.billing.scenario import GRACE
from tests.devstack.programs import Program, running

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ROOT = Path(__file__).resolve().parents[2]
SUBSCRIBED: dict[str, Any] = {
    "subscription_id": str(SUBSCRIPTION), "version": 1, "organisation_id": str(CONSUMER),
    "provider_organisation_id": str(PROVIDER), "provider_slug": "acme", "api_id": str(API), "api_slug": "weather",
    "status": "active", "started_at": "2026-10-16T12:00:00Z", "canceled_at": None,
    "phases": [
        {"plan_version_id": str(PLAN), "from": "2026-10-16T12:00:00Z", "until": None, "terms": terms_json()}
    ],
}  # fmt: skip


@pytest.fixture
def double(tmp_path: Path) -> Any:
    with running("devstack.stripe", tmp_path / "stripe") as program:
        yield program


@pytest.fixture
def settings(urls: DatabaseUrls, kafka: str, double: Program) -> Settings:
    return billing_settings(
        urls, KAFKA_BOOTSTRAP_SERVERS=kafka, KAFKA_TOPIC_PREFIX=f"t{secrets.token_hex(4)}.",
        STRIPE_API_BASE=double.url, worker_idle_seconds=0.05,
    )  # fmt: skip


@pytest.fixture
async def running_worker(settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(settings, stop))
    yield
    stop.set()
    await asyncio.wait_for(task, 20)


async def _publish(settings: Settings, topic: str, key: str, payload: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, acks="all")
    await producer.start()
    headers = [("ce_id", str(an_id(secrets.randbits(40))).encode())]
    name = settings.kafka_topic_prefix + topic
    await producer.send_and_wait(name, json.dumps(payload).encode(), key=key.encode(), headers=headers)
    await producer.stop()


async def _until(db: Database, query: str, expected: object) -> None:
    """Waits until `query` answers `expected`."""
    found: object = None
    for _ in range(150):
        async with db.begin() as session:
            found = await session.scalar(text(query))
        if found == expected:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"{query} is {found}, not {expected}")


@pytest.mark.usefixtures("running_worker")
async def test_from_events_to_a_paid_invoice_and_a_payout(
    settings: Settings, worker_db: Database, double: Program, urls: DatabaseUrls
) -> None:
    stripe, clock = StripeGateway("sk_test_worker", api_base=double.url), SystemClock()
    await _publish(settings, "subscriptions.subscription.v1", str(SUBSCRIPTION), SUBSCRIBED)
    await _until(worker_db, "SELECT count(*) FROM subscription", 1)
    async with worker_db.begin() as session:
        run = await request_invoice_run(
            session, organisation_id=CONSUMER, until=at("11-01"), enabled=True, now=clock.now()
        )
    total = {
        "subscription_id": str(SUBSCRIPTION), "plan_version_id": str(PLAN), "organisation_id": str(CONSUMER),
        "api_id": str(API), "month": "2026-10-01", "calls": 1350, "billable_calls": 1350, "units": 1350,
    }  # fmt: skip
    period = {"cutoff_id": str(run.id), "part": 1, "parts": 1, "version": 1, "until": "2026-11-01T00:00:00Z",
              "month_start": "2026-10-01T00:00:00Z", "totals": [total]}  # fmt: skip
    await _publish(settings, "metering.period.v1", f"{run.id}/1", period)
    await _until(worker_db, "SELECT stripe_state FROM invoice", "open")
    await _until(worker_db, "SELECT status FROM invoice_run", "done")
    async with worker_db.begin() as session:
        invoice_id = await session.scalar(text("SELECT id FROM invoice"))
        account = await accounts.find(session, CONSUMER)
    assert account is not None
    await attach_payment_method(worker_db, stripe, clock, CONSUMER, payment_method_id="pm_card_visa")
    invoice = await pay_invoice(worker_db, stripe, clock, invoice_id, grace=GRACE)
    # 15 days and a half of October's 31 at 19.00, all of November, 1,250 calls beyond the included hundred.
    assert [line.draft.amount for line in invoice.lines] == [950, 563, 1900]
    assert invoice.status == "paid"
    await stripe.close()
    await _until(worker_db, "SELECT count(*) FROM outbox WHERE sent_at IS NULL", 0)
    code, report = await _reconcile(urls, double)
    assert (code, report["ok"], report["invoices"], report["postings"]) == (0, True, 1, 2)


async def _reconcile(urls: DatabaseUrls, double: Program) -> tuple[int | None, dict[str, Any]]:
    """The command as an operator runs it."""
    environment = {
        "DATABASE_URL": urls.api, "DATABASE_WORKER_URL": urls.worker, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "REDIS_URL": "redis://127.0.0.1:1/0", "JWKS_URL": "http://127.0.0.1:1/", "TOKEN_ISSUER": "x",
        "STRIPE_SECRET_KEY": "sk_test_cli", "STRIPE_WEBHOOK_SECRET": "whsec_x", "STRIPE_API_BASE": double.url,
        "PATH": os.defpath,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "billing.cli",
        "reconcile",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    output, _ = await process.communicate()
    return process.returncode, json.loads(output)
