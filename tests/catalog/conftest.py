"""Fixtures of the catalogue: its database, its application, and callers of three organisations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from catalog.main import create_app
from catalog.settings import Settings
from devstack.embedded.databases import DatabaseUrls
from tests.catalog.factories import ACME, GLOBEX
from tests.support.apps import served
from tests.support.clock import FixedClock
from tests.support.tokens import ISSUER, TokenMaker

Caller = Callable[..., dict[str, str]]
MASTER = "the master of the tests, 32 characters or more"


@pytest.fixture
def service() -> str:
    return "catalog"


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
            "moderation": False,
            "UPSTREAM_MASTER": MASTER,
            "openapi_max_bytes": 200_000,
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
    """A client without a token; pass `headers=acme()` and the like."""
    transport = ASGITransport(app=app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://catalog.test") as client:
        yield client


@pytest.fixture
def acme(tokens: TokenMaker) -> Caller:
    """Headers of somebody at Acme, a provider: `acme(role="viewer")`."""
    return lambda role="owner": tokens.headers(organisation_id=ACME, slug="acme", role=role)


@pytest.fixture
def globex(tokens: TokenMaker) -> Caller:
    """Headers of somebody at Globex, another organisation."""
    return lambda role="owner": tokens.headers(organisation_id=GLOBEX, slug="globex", role=role)


@pytest.fixture
def admin(tokens: TokenMaker) -> Caller:
    """Headers of an operator of the marketplace."""
    return lambda: tokens.headers(organisation_id=GLOBEX, slug="globex", role="owner", platform_admin=True)
