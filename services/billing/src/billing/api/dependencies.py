"""What billing's endpoints need beyond the shared dependencies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, cast

from fastapi import Depends, Request

from billing.clients.stripe import Stripe
from common.db import Database


@dataclass(frozen=True, slots=True)
class Options:
    """What the endpoints need of the settings."""

    enabled: bool
    webhook_secret: str
    grace: timedelta
    default_currency: str
    onboarding_return_url: str


def _worker_database(request: Request) -> Database:
    return cast("Database", request.app.state.worker_db)


def _stripe(request: Request) -> Stripe:
    return cast("Stripe", request.app.state.stripe)


def _options(request: Request) -> Options:
    return cast("Options", request.app.state.options)


# Only for what was authorised before on the caller's own rows, or by Stripe's signature: this role sees all rows.
WorkerDatabase = Annotated[Database, Depends(_worker_database)]
StripeDep = Annotated[Stripe, Depends(_stripe)]
OptionsDep = Annotated[Options, Depends(_options)]
