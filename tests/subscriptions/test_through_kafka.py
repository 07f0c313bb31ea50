"""Catalogue and subscriptions, each with its worker, over a real broker: what one publishes the other sells."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

import catalog.main
import catalog.settings
import catalog.worker
import subscriptions.main
import subscriptions.settings
import subscriptions.worker
from common.ids import new_id
from devstack.embedded.databases import DatabaseUrls
from tests.catalog.factories import a_plan_body, publish
from tests.subscriptions.factories import ACME, GLOBEX
from tests.support.databases import Databases
from tests.support.tokens import ISSUER, TokenMaker


def environment(urls: DatabaseUrls, *, kafka: str, prefix: str) -> dict[str, Any]:
    return {
        "DATABASE_URL": urls.api,
        "DATABASE_WORKER_URL": urls.worker,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "KAFKA_TOPIC_PREFIX": prefix,
        "REDIS_URL": "redis://127.0.0.1:1",
        "JWKS_URL": f"{ISSUER}/.well-known/jwks.json",
        "TOKEN_ISSUER": ISSUER,
        "moderation": False,
    }


@asynccontextmanager
async def running(package: Any, settings: Any, run: Any, tokens: TokenMaker) -> AsyncIterator[AsyncClient]:
    """A client of the service's API, while its worker runs."""
    app = package.create_app(settings)
    app.state.verifier = tokens.verifier
    stop = asyncio.Event()
    worker = asyncio.create_task(run(settings, stop))
    try:
        async with AsyncClient(transport=ASGITransport(app=app), base_url="http://service.test") as client:
            yield client
    finally:
        stop.set()
        await worker
        await app.state.db.dispose()


@pytest.mark.concurrent
async def test_what_is_published_can_be_subscribed_to_a_moment_later(
    databases: Databases, urls: DatabaseUrls, kafka: str, tokens: TokenMaker
) -> None:
    prefix = f"t{new_id().hex}."
    catalog_urls = await databases.clone("catalog")
    shop = catalog.settings.Settings.model_validate(environment(catalog_urls, kafka=kafka, prefix=prefix))
    desk = subscriptions.settings.Settings.model_validate(environment(urls, kafka=kafka, prefix=prefix))
    acme = tokens.headers(organisation_id=ACME, slug="acme")
    globex = tokens.headers(organisation_id=GLOBEX, slug="globex")
    async with (
        running(catalog.main, shop, catalog.worker.run, tokens) as provider,
        running(subscriptions.main, desk, subscriptions.worker.run, tokens) as consumer,
    ):
        api_id = await publish(provider, acme)
        plan = await provider.post(f"/v1/apis/{api_id}/plans", json=a_plan_body(), headers=acme)
        async with asyncio.timeout(30):
            while True:
                body = {"plan_id": plan.json()["id"]}
                answer = await consumer.post("/v1/subscriptions", json=body, headers=globex)
                if answer.status_code == 201:
                    break
                assert answer.json()["code"] == "PLAN_NOT_FOUND"
                await asyncio.sleep(0.1)
    created = answer.json()
    assert created["key"]["key"].startswith("mk_live_")
    assert created["subscription"]["api_slug"] == "rates"
    assert created["subscription"]["terms"]["usage_price"]["tiers"][1] == {
        "up_to": None, "unit_price": "0.25", "flat_fee": 0,
    }  # fmt: skip
    await databases.drop(catalog_urls)
