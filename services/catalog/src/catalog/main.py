"""The catalogue's HTTP service."""

from fastapi import FastAPI

from catalog.api import apis, plans, publishing, upstream_secrets, versions
from catalog.api.rules import Rules
from catalog.domain.openapi.limits import Limits
from catalog.settings import Settings
from catalog.usecases.republish import republish
from common.db import Database
from common.http.admin import republish_router
from common.http.app import create_service_app


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application, ready to serve."""
    settings = settings or Settings()
    db = Database(
        settings.database_url.get_secret_value(), name="catalog", pool_size=settings.database_pool_size
    )
    rules = Rules(
        moderated=settings.moderation,
        allow_loopback=settings.allow_loopback_upstreams,
        document_limits=Limits(max_bytes=settings.openapi_max_bytes),
        upstream_master=settings.upstream_master.get_secret_value() if settings.upstream_master else None,
    )
    return create_service_app(
        name="catalog",
        settings=settings,
        # Order matters once: `/v1/apis/{id}/{action}` would take `/v1/apis/{id}/plans`.
        routers=[
            apis.router,
            versions.router,
            plans.router,
            upstream_secrets.router,
            publishing.router,
            republish_router(republish),
        ],
        db=db,
        state={"rules": rules},
    )
