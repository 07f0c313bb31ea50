"""The HTTP application of accounts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from accounts.api import (
    access_tokens,
    admin,
    audit,
    me,
    members,
    notification_preferences,
    organisations,
    tokens,
)
from accounts.clients.issuer_keys import IssuerKeys
from accounts.clients.oidc import OidcVerifier
from accounts.clients.signing import Signer
from accounts.settings import Settings
from accounts.usecases.republish import republish
from common.db import Database
from common.http.admin import republish_router
from common.http.app import create_service_app
from common.http.checks import connect_check

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application, ready to serve; it refuses to start with a signing key that cannot sign."""
    settings = settings or Settings()
    signer = Signer(settings.signing_key.get_secret_value(), retired=settings.retired_keys)
    keys = IssuerKeys(
        issuer=settings.oidc_issuer,
        discovery_url=settings.oidc_discovery_url,
        timeout_seconds=settings.oidc_timeout_seconds,
    )
    routers = [
        m.router
        for m in (
            tokens,
            me,
            organisations,
            members,
            access_tokens,
            notification_preferences,
            audit,
            admin,
        )
    ]
    return create_service_app(
        name="accounts",
        settings=settings,
        routers=[*routers, republish_router(republish)],
        db=Database(
            settings.database_url.get_secret_value(), name="accounts", pool_size=settings.database_pool_size
        ),
        checks={"oidc": connect_check(settings.oidc_discovery_url or settings.oidc_issuer)},
        state={
            "signer": signer,
            "token_policy": tokens.TokenPolicy(
                admins=settings.platform_admin_addresses,
                issuer=settings.token_issuer,
                ttl=timedelta(seconds=settings.token_ttl_seconds),
            ),
            "oidc": OidcVerifier(keys=keys, issuer=settings.oidc_issuer, audience=settings.oidc_audience),
        },
    )
