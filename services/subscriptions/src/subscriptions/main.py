"""The HTTP service of subscriptions."""

from fastapi import FastAPI

from common.db import Database
from common.http.admin import republish_router
from common.http.app import create_service_app
from subscriptions.api import keys, subscriptions
from subscriptions.settings import Settings
from subscriptions.usecases.republish import republish


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application, ready to serve."""
    settings = settings or Settings()
    db = Database(
        settings.database_url.get_secret_value(), name="subscriptions", pool_size=settings.database_pool_size
    )
    return create_service_app(
        name="subscriptions",
        settings=settings,
        # Order matters once: `/v1/subscriptions/{id}/{action}` would take `/v1/subscriptions/{id}/keys`.
        routers=[keys.router, subscriptions.router, republish_router(republish)],
        db=db,
    )
