"""The HTTP application of kong-sync."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from common.db import Database
from common.http.admin import republish_router
from common.http.app import create_service_app
from common.http.checks import connect_check
from kong_sync.api import blocked_addresses
from kong_sync.api import gateway as gateway_api
from kong_sync.settings import Settings
from kong_sync.usecases.republish import republish


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application, ready to serve; it refuses to start without the Lua that it attaches."""
    settings = settings or Settings()
    gateway = settings.gateway()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.close()

    checks = {"kong": connect_check(settings.kong_admin_url)} if settings.enable_kong else {}
    return create_service_app(
        name="kong-sync",
        settings=settings,
        routers=[gateway_api.router, blocked_addresses.router, republish_router(republish)],
        db=Database(
            settings.database_url.get_secret_value(), name="kong_sync", pool_size=settings.database_pool_size
        ),
        checks=checks,
        state={"gateway": gateway},
        lifespan=lifespan,
    )
