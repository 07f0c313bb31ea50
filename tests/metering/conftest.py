from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from devstack.embedded.databases import DatabaseUrls
from metering.main import create_app
from metering.settings import Settings
from tests.support.apps import served
from tests.support.clock import FixedClock
from tests.support.tokens import ISSUER, TokenMaker

INGEST_TOKEN = "ingest-token-of-the-tests"
_prefixes = itertools.count(1)


@pytest.fixture
def service() -> str:
    return "metering"


@pytest.fixture
def make_settings(urls: DatabaseUrls) -> Callable[..., Settings]:
    """Settings of this test's database; a topic prefix of its own keeps tests on one broker apart."""

    def make(**overrides: Any) -> Settings:
        values: dict[str, Any] = {
            "DATABASE_URL": urls.api, "DATABASE_WORKER_URL": urls.worker, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "KAFKA_TOPIC_PREFIX": f"m{next(_prefixes)}.", "REDIS_URL": "redis://127.0.0.1:1", "TOKEN_ISSUER": ISSUER,
            "JWKS_URL": f"{ISSUER}/jwks", "ingest_token": INGEST_TOKEN, "grace_seconds": 0.5,
            "ack_timeout_seconds": 5.0,
        }  # fmt: skip
        return Settings(**(values | overrides))

    return make


@pytest.fixture
async def app(
    make_settings: Callable[..., Settings], clock: FixedClock, tokens: TokenMaker, kafka: str
) -> FastAPI:
    application = served(create_app(make_settings(KAFKA_BOOTSTRAP_SERVERS=kafka), clock=clock))
    application.state.verifier = tokens.verifier
    return application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://metering") as http:
        yield http
    await app.state.kafka_log.close()
    await app.state.db.dispose()
