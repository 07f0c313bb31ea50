"""The FastAPI application of a service, with everything that all of them have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from common.clock import Clock, SystemClock
from common.db import Database
from common.http.checks import kafka_check, redis_check
from common.http.errors import add_error_handlers
from common.http.health import Check, health_router
from common.http.request_id import RequestContext
from common.http.tokens import TokenVerifier
from common.settings import ServiceSettings
from common.tracing import instrument

# FastAPI reads a body before it asks who sends it: without a bound anybody could fill the memory.
_MAX_BODY_BYTES = 8 * 1024 * 1024
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_service_app(
    *, name: str, settings: ServiceSettings, routers: Sequence[APIRouter], db: Database,
    clock: Clock | None = None, checks: Mapping[str, Check] | None = None, state: Mapping[str, Any] | None = None,
    lifespan: Lifespan | None = None, max_body_bytes: int = _MAX_BODY_BYTES,
) -> FastAPI:  # fmt: skip
    """The application `name`: its routers, health, metrics, docs without a CDN, problem details, request ids, auth.

    `state` becomes attributes of `app.state`; `lifespan` runs inside the shared one. The database is closed at the end.
    A longer body than `max_body_bytes` is refused before anybody reads it.
    """

    @asynccontextmanager
    async def whole_lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            if lifespan is None:
                yield
            else:
                async with lifespan(app):
                    yield
        finally:
            await db.dispose()

    app = FastAPIOffline(title=f"Marketplace {name}", version="1", lifespan=whole_lifespan)
    app.state.db = db
    app.state.clock = clock or SystemClock()
    app.state.settings = settings
    app.state.verifier = TokenVerifier(jwks_url=settings.jwks_url, issuer=settings.token_issuer)
    for key, value in (state or {}).items():
        setattr(app.state, key, value)
    every_check = {
        "redis": redis_check(settings.redis_url.get_secret_value()),
        "kafka": kafka_check(settings.kafka_bootstrap_servers),
        **(checks or {}),
    }
    app.include_router(health_router(every_check))
    for router in routers:
        app.include_router(router)
    add_error_handlers(app)
    app.add_middleware(RequestContext, service=name, max_body_bytes=max_body_bytes)
    instrument(app, settings=settings, service=name)
    return app
