"""Accounts on a real database, with an identity provider that the tests script."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from accounts.clients.issuer_keys import IssuerKeys
from accounts.clients.oidc import OidcVerifier
from accounts.clients.signing import generate_key
from accounts.main import create_app
from accounts.settings import Settings
from common.db import Database
from devstack.embedded.databases import DatabaseUrls
from tests.accounts.issuer import ISSUER, Issuer
from tests.support.apps import served
from tests.support.clock import FixedClock
from tests.support.tokens import ISSUER as TOKEN_ISSUER
from tests.support.tokens import TokenMaker


@pytest.fixture
def service() -> str:
    return "accounts"


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def settings(urls: DatabaseUrls) -> Settings:
    return Settings.model_validate(
        {
            "DATABASE_URL": urls.api,
            "DATABASE_WORKER_URL": urls.worker,
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "JWKS_URL": f"{TOKEN_ISSUER}/.well-known/jwks.json",
            "TOKEN_ISSUER": TOKEN_ISSUER,
            "OIDC_ISSUER": ISSUER,
            "signing_key": generate_key(),
            "platform_admins": "Root@example.test, second@example.test",
        }
    )


@pytest.fixture
async def app(
    settings: Settings, tokens: TokenMaker, issuer: Issuer, clock: FixedClock
) -> AsyncIterator[FastAPI]:
    """The application as shipped, except that it trusts the tests' tokens, the tests' issuer and the tests' clock."""
    app = served(create_app(settings))
    app.state.verifier = tokens.verifier
    app.state.clock = clock
    keys = IssuerKeys(issuer=ISSUER, transport=issuer.transport)
    app.state.oidc = OidcVerifier(keys=keys, issuer=ISSUER, audience="marketplace")
    yield app
    database: Database = app.state.db
    await database.dispose()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.77", 123))
    async with AsyncClient(transport=transport, base_url="http://accounts.test") as client:
        yield client
