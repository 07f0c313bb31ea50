"""The endpoints of a service, and who may call each, as its application says."""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from joserfc.jwk import OKPKey

from common.http.auth import Access
from common.settings import ServiceSettings

# Nobody listens there: whatever an endpoint does before it decides about its caller fails visibly.
NOWHERE = "127.0.0.1:1"
DOCS = {"/docs", "/docs/oauth2-redirect", "/redoc"}


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    rules: tuple[Access, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def example_path(self) -> str:
        """The path with something in the place of each parameter."""
        parts = self.path.split("/")
        return "/".join("01900000-0000-7000-8000-000000000001" if p.startswith("{") else p for p in parts)


def endpoints(app: FastAPI) -> Iterator[Endpoint]:
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if not isinstance(route, APIRoute) or context.path in DOCS:
            continue
        rules = [getattr(parameter.call, "access", None) for parameter in route.dependant.dependencies]
        for method in sorted(route.methods or ()):
            yield Endpoint(
                method, context.path or route.path, tuple(rule for rule in rules if rule is not None)
            )


def settings_without_a_world(service: str) -> ServiceSettings:
    """Valid settings of `service` whose every address leads nowhere."""
    known = {
        "database_url": f"postgresql+asyncpg://nobody:none@{NOWHERE}/none",
        "database_worker_url": f"postgresql+asyncpg://nobody:none@{NOWHERE}/none",
        "kafka_bootstrap_servers": NOWHERE, "redis_url": f"redis://{NOWHERE}",
        "signing_key": json.dumps(OKPKey.generate_key("Ed25519", auto_kid=True).as_dict(private=True)),
        "stripe_secret_key": "sk_test_" + "x" * 24, "stripe_webhook_secret": "whsec_" + "x" * 24,
    }  # fmt: skip
    model: type[ServiceSettings] = importlib.import_module(f"{service}.settings").Settings
    values: dict[str, str] = {}
    for name, field in model.model_fields.items():
        if field.is_required():
            key = field.validation_alias if isinstance(field.validation_alias, str) else name
            values[key] = known.get(name, f"http://{NOWHERE}/" + "x" * 16)
    return model.model_validate(values)


@functools.cache
def app_without_a_world(service: str) -> FastAPI:
    app: FastAPI = importlib.import_module(f"{service}.main").create_app(settings_without_a_world(service))
    return app
