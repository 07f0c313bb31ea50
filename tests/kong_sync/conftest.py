"""kong-sync on a real database and the gateway double; each test has a namespace of its own in it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from common.db import Database
from devstack.embedded.databases import DatabaseUrls
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.clients.kong_proxy import KongProxy
from kong_sync.main import create_app
from kong_sync.settings import Settings
from tests.kong_sync.double import Double, Faulty, Upstream
from tests.kong_sync.stage import Stage
from tests.support.apps import served
from tests.support.clock import FixedClock
from tests.support.tokens import ISSUER, TokenMaker

ROOT = Path(__file__).parents[2]
_numbers = itertools.count(1)


@pytest.fixture
def service() -> str:
    return "kong_sync"


@pytest.fixture(scope="session")
async def double(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Double]:
    started = Double(Path(tmp_path_factory.mktemp("kong")))
    await started.start()
    yield started
    await started.kill()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as started:
        yield started


@pytest.fixture
def settings(urls: DatabaseUrls, double: Double) -> Settings:
    return Settings.model_validate(
        {
            "DATABASE_URL": urls.api,
            "DATABASE_WORKER_URL": urls.worker,
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "JWKS_URL": f"{ISSUER}/.well-known/jwks.json",
            "TOKEN_ISSUER": ISSUER,
            "KONG_ADMIN_URL": double.admin_url,
            "KONG_PROXY_URL": double.proxy_url,
            "namespace": f"t{next(_numbers)}",
            "lua_dir": ROOT / "gateway" / "lua",
            "ingest_url": "http://127.0.0.1:9/v1/ingest/kong",
            "canary_timeout_seconds": 3,
            "canary_connections": 1,
        }
    )


@pytest.fixture
async def faults() -> AsyncIterator[Faulty]:
    transport = Faulty()
    yield transport
    await transport.aclose()


@pytest.fixture
async def gateway(settings: Settings, faults: Faulty) -> AsyncIterator[Gateway]:
    """The gateway double as kong-sync meets it, over a transport that can be told to fail."""
    made = Gateway(
        admin=KongAdmin(settings.kong_admin_url, attempts=1, transport=faults),
        proxy=KongProxy(settings.kong_proxy_url),
        edge=settings.edge(),
        public_proxy_url=settings.kong_proxy_url,
        canary_connections=1,
        canary_timeout_seconds=3,
    )
    yield made
    await made.close()


@pytest.fixture
async def app(settings: Settings, tokens: TokenMaker, clock: FixedClock) -> AsyncIterator[FastAPI]:
    """The application as shipped, except that it trusts the tests' tokens and the tests' clock."""
    app = served(create_app(settings))
    app.state.verifier = tokens.verifier
    app.state.clock = clock
    yield app
    database: Database = app.state.db
    await database.dispose()
    shipped: Gateway = app.state.gateway
    await shipped.close()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://kong-sync.test") as client:
        yield client


@pytest.fixture
def stage(
    worker_db: Database, gateway: Gateway, clock: FixedClock, double: Double, upstream: Upstream
) -> Stage:
    return Stage(worker_db, gateway, clock, double, upstream)
