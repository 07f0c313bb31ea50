from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from billing.main import create_app
from billing.settings import Settings
from devstack.embedded.databases import DatabaseUrls
from tests.billing.factories import ADMIN, CONSUMER, PROVIDER, STRANGER
from tests.billing.scenario import Scenario
from tests.support.apps import served
from tests.support.clock import FixedClock
from tests.support.tokens import ISSUER, TokenMaker

WEBHOOK_SECRET = "whsec_test"
WHO: dict[str, UUID] = {"consumer": CONSUMER, "provider": PROVIDER, "stranger": STRANGER, "admin": ADMIN}


def billing_settings(urls: DatabaseUrls, **more: Any) -> Settings:
    return Settings.model_validate(
        {
            "DATABASE_URL": urls.api, "DATABASE_WORKER_URL": urls.worker, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "REDIS_URL": "redis://127.0.0.1:1/0", "JWKS_URL": f"{ISSUER}/.well-known/jwks.json",
            "TOKEN_ISSUER": ISSUER, "STRIPE_SECRET_KEY": "sk_test_api", "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
        | more
    )  # fmt: skip


@pytest.fixture
async def app(
    urls: DatabaseUrls, tokens: TokenMaker, scenario: Scenario, clock: FixedClock
) -> AsyncIterator[FastAPI]:
    """The application as shipped, except for whose tokens, clock and Stripe it trusts."""
    app = served(create_app(billing_settings(urls)))
    await app.state.stripe.close()
    app.state.verifier, app.state.clock, app.state.stripe = tokens.verifier, clock, scenario.stripe
    yield app
    await app.state.db.dispose()
    await app.state.worker_db.dispose()


@dataclass
class Api:
    client: AsyncClient
    tokens: TokenMaker

    async def call(
        self, who: str | None, method: str, path: str, *, role: str = "owner", **kwargs: Any
    ) -> Response:
        """As `consumer`, `provider`, `stranger`, `admin` (the operator), or nobody."""
        headers = dict(kwargs.pop("headers", {}))
        if who is not None:
            headers |= self.tokens.headers(organisation_id=WHO[who], role=role, platform_admin=who == "admin")
        return await self.client.request(method, path, headers=headers, **kwargs)


@pytest.fixture
async def api(app: FastAPI, tokens: TokenMaker) -> AsyncIterator[Api]:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://billing.test") as client:
        yield Api(client, tokens)
