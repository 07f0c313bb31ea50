"""The API process of metering."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from common.clock import Clock
from common.db import Database
from common.http.admin import republish_router
from common.http.app import create_service_app
from metering.api import alerts, completeness, evidence, ingest, reconciliation, streams, usage
from metering.api.ingest import IngestRules
from metering.clients.geoip import country_lookup
from metering.settings import Settings, kafka_log_of
from metering.usecases.republish import republish


def create_app(settings: Settings | None = None, *, clock: Clock | None = None) -> FastAPI:
    """The application; Kafka is met when the first entries come, so it may be away at the start."""
    settings = settings or Settings()
    kafka_log = kafka_log_of(settings)
    rules = IngestRules(
        token=settings.ingest_token.get_secret_value(),
        namespace=settings.namespace,
        body_limit_bytes=settings.body_limit_bytes,
        country_of=country_lookup(settings.geoip_path),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await kafka_log.close()

    return create_service_app(
        name="metering",
        settings=settings,
        routers=[
            ingest.router,
            usage.router,
            streams.router,
            reconciliation.router,
            alerts.router,
            completeness.router,
            evidence.router,
            republish_router(republish),
        ],
        db=Database(
            settings.database_url.get_secret_value(), name="metering", pool_size=settings.database_pool_size
        ),
        clock=clock,
        state={"streams": streams.Slots(settings.streams), "kafka_log": kafka_log, "ingest_rules": rules},
        lifespan=lifespan,
    )
