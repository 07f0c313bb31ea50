"""The desired state of the gateway: from our tables to entities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

from kong_sync.domain.canary import canary, probe_ground
from kong_sync.domain.edge import NOWHERE, Edge, address
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.records import Api, ApiVersion, Key, Quota, Tables
from kong_sync.domain.served import serve_api
from kong_sync.domain.standing import is_remembered
from kong_sync.domain.subscribed import DEAD_KEY_STATES, admit_subscription, graveyards

_FALLBACK = Owner(Concern.PLATFORM, "fallback")


def desired_entities(tables: Tables, edge: Edge, *, generation: str, now: datetime) -> list[Entity]:
    """Every entity that should stand in Kong, parents before children."""
    entities = [*probe_ground(edge), *canary(edge, generation)]
    versions: dict[str, list[ApiVersion]] = defaultdict(list)
    for version in tables.versions.values():
        versions[version.api_id].append(version)
    served: list[Api] = []
    for api in sorted(tables.apis.values(), key=lambda a: a.id):
        of_api = list(serve_api(edge, api, versions[api.id], now=now))
        served += [api] if of_api else []
        entities += of_api
    entities += _fallbacks(edge, served)
    entities += _admitted(tables, edge, now=now)
    return entities


def by_owner(entities: Iterable[Entity]) -> dict[Owner, list[Entity]]:
    """The entities of each owner."""
    grouped: dict[Owner, list[Entity]] = defaultdict(list)
    for entity in entities:
        grouped[entity.owner].append(entity)
    return dict(grouped)


def _admitted(tables: Tables, edge: Edge, *, now: datetime) -> Iterator[Entity]:
    keys: dict[str, list[Key]] = defaultdict(list)
    for key in sorted(tables.keys.values(), key=lambda k: k.id):
        keys[key.subscription_id].append(key)
    quotas: dict[str, list[Quota]] = defaultdict(list)
    for quota in tables.quotas.values():
        quotas[quota.subscription_id].append(quota)
    dead = {
        key.status
        for key in tables.keys.values()
        if key.status in DEAD_KEY_STATES
        and is_remembered(key, now=now)
        and key.subscription_id in tables.subscriptions
    }
    yield from graveyards(edge, dead)
    for subscription in sorted(tables.subscriptions.values(), key=lambda s: s.id):
        yield from admit_subscription(
            edge, subscription, keys[subscription.id], quotas[subscription.id], now=now
        )


def _fallbacks(edge: Edge, served: Iterable[Api]) -> Iterator[Entity]:
    """Under each provider's path we answer what no API does: 404 with our code. Elsewhere Kong's own 404 stays."""
    providers = {api.provider_slug: api.provider_id for api in served}
    if not providers:
        return
    service = edge.entity(
        Kind.SERVICE,
        "service.fallback",
        _FALLBACK,
        {"name": f"{edge.namespace}.fallback", **address(NOWHERE), "enabled": True, "retries": 0},
        tags=(f"lua:{edge.lua.release}",),
    )
    yield service
    lua = edge.lua
    filters = {"header_filter": [lua.header_filter], "body_filter": [lua.body_filter]}
    yield edge.plugin("post-function", "plugin.fallback", _FALLBACK, filters, service=service.id)
    nothing = {"status_code": 404, "message": "No API answers here"}
    yield edge.plugin("request-termination", "plugin.fallback", _FALLBACK, nothing, service=service.id)
    for slug, provider_id in sorted(providers.items()):
        fields = {
            "name": f"{edge.namespace}.fallback.{slug}",
            "paths": [f"/{slug}/"],
            "protocols": ["http", "https"],
            "strip_path": False,
            "service": {"id": service.id},
        }
        tags = (f"provider:{provider_id}",)
        yield edge.entity(Kind.ROUTE, f"route-fallback.{provider_id}", _FALLBACK, fields, tags=tags)
