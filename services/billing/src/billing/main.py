"""The API of billing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from billing.api import accounts, holds, invoice_runs, invoices, ledger, providers, webhooks
from billing.api.dependencies import Options
from billing.clients.stripe_gateway import StripeGateway
from billing.settings import Settings
from billing.usecases.republish import republish
from common.db import Database
from common.http.admin import republish_router
from common.http.app import create_service_app
from common.http.checks import connect_check

_ROUTERS = (invoice_runs, holds, invoices, accounts, providers, ledger, webhooks)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application, with its two databases and Stripe."""
    settings = settings or Settings()
    pool = settings.database_pool_size
    db = Database(settings.database_url.get_secret_value(), name="billing api", pool_size=pool)
    # Webhooks and collection act for several organisations at once, each after it was authorised (dependencies.py).
    worker_db = Database(
        settings.database_worker_url.get_secret_value(), name="billing api, collecting", pool_size=pool
    )

    stripe = make_stripe(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await stripe.close()
        await worker_db.dispose()

    return create_service_app(
        name="billing",
        settings=settings,
        routers=[*(module.router for module in _ROUTERS), republish_router(republish)],
        db=db,
        checks={"stripe": connect_check(settings.stripe_api_base or "https://api.stripe.com")},
        state={"worker_db": worker_db, "stripe": stripe, "options": _options(settings)},
        lifespan=lifespan,
    )


def _options(settings: Settings) -> Options:
    return Options(
        enabled=settings.enable_billing,
        webhook_secret=settings.stripe_webhook_secret.get_secret_value(),
        grace=timedelta(days=settings.past_due_after_days),
        default_currency=settings.default_currency,
        onboarding_return_url=settings.onboarding_return_url,
    )


def make_stripe(settings: Settings) -> StripeGateway:
    """Stripe, or the server that stands in for it."""
    return StripeGateway(
        settings.stripe_secret_key.get_secret_value(),
        api_base=settings.stripe_api_base,
        timeout_seconds=settings.stripe_timeout_seconds,
    )
