"""The desired state of the gateway: from our tables to entities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

from kong_sync.domain.canary import canary, probe_ground
from kong_sync.domain.edge import NOWHERE, Edge, address
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.records import ApiVersion, Key, Quota, Tables
from kong_sync.domain.served import serve_api
from kong_sync.domain.subscribed import admit_subscription, graveyards

_FALLBACK = Owner(Concern.PLATFORM, "fallback")
_FALLBACK_PART = "service.fallback"


def desired_entities(tables: Tables, edge: Edge, *, generation: str, now: datetime) -> list[Entity]:
    """Every entity that should stand in Kong, parents before children.

    From the rows of one owner come all entities of that owner (a provider's are its APIs and their versions), and the
    platform's own are always the same: so a part of the tables is enough for a part of the gateway.
    """
    entities = [*probe_ground(edge), *canary(edge, generation), *_fallback_ground(edge), *graveyards(edge)]
    versions: dict[str, list[ApiVersion]] = defaultdict(list)
    for version in tables.versions.values():
        versions[version.api_id].append(version)
    slugs: dict[str, set[str]] = defaultdict(set)
    for api in sorted(tables.apis.values(), key=lambda a: a.id):
        of_api = list(serve_api(edge, api, versions[api.id], now=now))
        if of_api:
            slugs[api.provider_id].add(api.provider_slug)
        entities += of_api
    entities += [_fallback_route(edge, provider_id, slugs[provider_id]) for provider_id in sorted(slugs)]
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
    for subscription in sorted(tables.subscriptions.values(), key=lambda s: s.id):
        yield from admit_subscription(
            edge, subscription, keys[subscription.id], quotas[subscription.id], now=now
        )


def _fallback_ground(edge: Edge) -> Iterator[Entity]:
    """What answers 404 with our code where a provider's route leads to it. Elsewhere Kong's own 404 stays."""
    service = edge.entity(
        Kind.SERVICE,
        _FALLBACK_PART,
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


def _fallback_route(edge: Edge, provider_id: str, slugs: Iterable[str]) -> Entity:
    """Under a provider's path we answer what no API does. The name holds the id: two providers may swap their slugs."""
    fields = {
        "name": f"{edge.namespace}.fallback.{provider_id}",
        "paths": [f"/{slug}/" for slug in sorted(slugs)],
        "protocols": ["http", "https"],
        "strip_path": False,
        "service": {"id": edge.id_of(_FALLBACK_PART)},
    }
    owner, tags = Owner(Concern.PROVIDER, provider_id), (f"provider:{provider_id}",)
    return edge.entity(Kind.ROUTE, f"route-fallback.{provider_id}", owner, fields, tags=tags)
