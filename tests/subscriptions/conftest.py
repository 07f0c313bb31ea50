"""Fixtures of subscriptions: its database, its application, callers, and a plan on sale."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from common.db import Database
from devstack.embedded.databases import DatabaseUrls
from subscriptions.main import create_app
from subscriptions.settings import Settings
from tests.subscriptions.factories import ACME, GLOBEX, INITECH, put_on_sale
from tests.support.apps import served
from tests.support.clock import FixedClock
from tests.support.tokens import ISSUER, TokenMaker

Caller = Callable[..., dict[str, str]]


@pytest.fixture
def service() -> str:
    return "subscriptions"


@pytest.fixture
def settings(urls: DatabaseUrls) -> Settings:
    return Settings.model_validate(
        {
            "DATABASE_URL": urls.api,
            "DATABASE_WORKER_URL": urls.worker,
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "REDIS_URL": "redis://127.0.0.1:1",
            "JWKS_URL": f"{ISSUER}/.well-known/jwks.json",
            "TOKEN_ISSUER": ISSUER,
        }
    )


@pytest.fixture
async def app(settings: Settings, tokens: TokenMaker, clock: FixedClock) -> AsyncIterator[FastAPI]:
    app = served(create_app(settings))
    app.state.verifier = tokens.verifier
    app.state.clock = clock
    yield app
    await app.state.db.dispose()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client without a token; pass `headers=globex()` and the like."""
    transport = ASGITransport(app=app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://subscriptions.test") as client:
        yield client


@pytest.fixture
async def on_sale(worker_db: Database) -> None:
    """Acme's API is published, with the plan PLAN; the catalogue's events have arrived."""
    await put_on_sale(worker_db)


@pytest.fixture
def acme(tokens: TokenMaker) -> Caller:
    """Headers of somebody at Acme, the provider."""
    return lambda role="owner": tokens.headers(organisation_id=ACME, slug="acme", role=role)


@pytest.fixture
def globex(tokens: TokenMaker) -> Caller:
    """Headers of somebody at Globex, the consumer: `globex(role="viewer")`."""
    return lambda role="owner": tokens.headers(organisation_id=GLOBEX, slug="globex", role=role)


@pytest.fixture
def initech(tokens: TokenMaker) -> Caller:
    """Headers of somebody at Initech, who has nothing to do with it."""
    return lambda role="owner": tokens.headers(organisation_id=INITECH, slug="initech", role=role)


@pytest.fixture
def admin(tokens: TokenMaker) -> Caller:
    """Headers of an operator of the marketplace."""
    return lambda: tokens.headers(organisation_id=INITECH, slug="initech", role="owner", platform_admin=True)
