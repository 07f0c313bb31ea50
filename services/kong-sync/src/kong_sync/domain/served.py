"""The entities of one API: a service per version with everything that hangs on it, and its routes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from kong_sync.domain.edge import NOWHERE, Edge, address, scope_in_tag
from kong_sync.domain.endpoint_groups import escaped, groups_of
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.records import Api, ApiSettings, ApiVersion

_INGEST_TOKEN = "{vault://env/ingest-token}"  # noqa: S105 - a reference, so that Kong's database holds no secret
_EXPOSED_HEADERS = [
    "X-Request-Id", "X-Response-Time", "X-Error-Code", "Retry-After",
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Deprecation", "Sunset", "Link",
]  # fmt: skip
# Nobody else answers with it, so that the header filter can tell it from acl's 403.
_BLOCKED = 460
_QUEUE = {
    "max_batch_size": 200,
    "max_entries": 1_000_000,
    "max_bytes": 512 * 1024 * 1024,
    "max_retry_time": 86_400,
    "max_retry_delay": 10,
}

# By these metering proves that no call was lost on its way; latencies are for those who watch the gateway.
_COUNTED = {
    "per_consumer": True,
    "status_code_metrics": True,
    "latency_metrics": True,
    "bandwidth_metrics": False,
    "upstream_health_metrics": False,
}


def group_of(api_id: str) -> str:
    """The acl group whose members may call the API."""
    return f"api_{api_id}"


def restricted_group_of(api_id: str) -> str:
    """The acl group of all keys of the API that are restricted to scopes."""
    return f"restricted_{api_id}"


def scope_group_of(api_id: str, scope: str) -> str:
    """The acl group of the keys of the API that hold `scope`."""
    return f"scope_{api_id}_{scope_in_tag(scope)}"


def latest_of(api: Api, versions: Iterable[ApiVersion], *, now: datetime) -> ApiVersion | None:
    """The version that answers where no version is named: catalog's word, else the last one that still answers."""
    answering = sorted(
        (v for v in versions if v.known and not v.is_sunset(now=now)),
        key=lambda v: (v.is_latest, v.name == api.latest_version, v.id),
    )
    return answering[-1] if answering else None


def path_of(api: Api, version: ApiVersion | None = None) -> str:
    """The path under which the gateway answers, without a slash at the end."""
    path = f"/{api.provider_slug}/{api.slug}"
    return f"{path}/{version.name}" if version else path


def serve_api(edge: Edge, api: Api, versions: Iterable[ApiVersion], *, now: datetime) -> Iterator[Entity]:
    """All entities of `api`; none when it is not served or has no version that is.

    A version that is sunset stays, guards and all: the gateway's Lua answers 410 by the service's tags, at the very
    second and without a write. Only the route without a version moves on.
    """
    if not api.served:
        return
    known = sorted((v for v in versions if v.known and (v.base_url or api.base_url)), key=lambda v: v.id)
    latest = latest_of(api, known, now=now)
    for version in known:
        service = _service(edge, api, version, latest)
        yield service
        yield from _plugins(edge, api, version, service)
        yield _route(edge, api, version, part=f"route.{version.id}", path=path_of(api, version))
    if any(version.asks_for_scopes for version in known):
        names = frozenset(version.name for version in known)
        for version in known:
            yield from _group_routes(edge, api, version, is_latest=version is latest, names=names)
    if latest:
        yield _route(edge, api, latest, part=f"route-latest.{api.id}", path=path_of(api))


def _owner(api: Api) -> Owner:
    return Owner(Concern.API, api.id)


def _tags(edge: Edge, api: Api, version: ApiVersion) -> tuple[str, ...]:
    return f"api:{api.id}", f"version:{version.id}", f"provider:{api.provider_id}", f"lua:{edge.lua.release}"


def _lifecycle_tags(version: ApiVersion, latest: ApiVersion | None) -> tuple[str, ...]:
    """When it was deprecated, when it is switched off (0: at a time that nobody named), and what follows it."""
    deprecated_at, sunset_at = version.deprecated_at, version.sunset_at
    tags = []
    if deprecated_at:
        tags.append(f"deprecated:{int(deprecated_at.timestamp())}")
    if sunset_at or version.state == "sunset":
        tags.append(f"sunset:{int(sunset_at.timestamp()) if sunset_at else 0}")
    if tags and latest and latest.id != version.id:
        tags.append(f"successor:{latest.name}")
    return tuple(tags)


def _closed_tags(api: Api) -> tuple[str, ...]:
    """Why nobody is let through: the marketplace stopped it, or its provider is at work on it (0: no end named)."""
    if api.suspended:
        return ("closed:suspended",)
    if not api.settings.in_maintenance:
        return ()
    until = api.settings.maintenance_until
    return (f"maintenance:{int(until.timestamp()) if until else 0}",)


def _service(edge: Edge, api: Api, version: ApiVersion, latest: ApiVersion | None) -> Entity:
    settings = api.settings
    # should the Lua fail, a suspended API's calls still reach nobody
    upstream = address(NOWHERE if api.suspended else version.base_url or api.base_url or "")
    fields = {
        # the end of the id keeps the name unique while two APIs swap their slugs
        "name": f"{api.provider_slug}.{api.slug}.{version.name}.{version.id[-8:]}",
        **upstream,
        "enabled": True,
        "retries": settings.retries,
        "connect_timeout": settings.connect_ms,
        "read_timeout": settings.read_ms,
        "write_timeout": settings.write_ms,
        # Kong refuses it where there is no TLS
        "tls_verify": settings.tls_verify if upstream["protocol"] == "https" else None,
    }
    part = f"service.{version.id}"
    more = (f"epoch:{api.upstream_epoch}", *_lifecycle_tags(version, latest), *_closed_tags(api))
    tags = (*_tags(edge, api, version), *more)
    return edge.entity(Kind.SERVICE, part, _owner(api), fields, tags=tags)


def _route(edge: Edge, api: Api, version: ApiVersion, *, part: str, path: str) -> Entity:
    # a plain prefix /v1 would take /v10 as well
    fields = _route_fields(edge, version, part, [f"{path}/", f"~{escaped(path)}$"])
    return edge.entity(Kind.ROUTE, part, _owner(api), fields, tags=_tags(edge, api, version))


def _route_fields(edge: Edge, version: ApiVersion, part: str, paths: list[str]) -> dict[str, Any]:
    return {
        "name": part,
        "paths": paths,
        "protocols": ["http", "https"],
        "strip_path": True,
        "preserve_host": False,
        "request_buffering": True,
        "response_buffering": True,
        "service": {"id": edge.id_of(f"service.{version.id}")},
    }


def _group_routes(
    edge: Edge, api: Api, version: ApiVersion, *, is_latest: bool, names: frozenset[str]
) -> Iterator[Entity]:
    """A route for the endpoints that ask for the same scopes, open to the keys that hold them.

    It wins over the version's own route, for it names a method as well. Kong would strip all that a regex matches, so
    the Lua strips the prefix, by the tag `prefix`. The acl knows only "any of": that a key holds all of several scopes
    is the Lua's to see, by the tags. Until its acl stands there, the service's holds, which takes no restricted key.
    """
    for group in groups_of(version.endpoints):
        paths = group.paths(path_of(api, version))
        if is_latest:  # where no version is named, the versions' names are theirs
            paths += group.paths(path_of(api), besides=names)
        digest = hashlib.sha256(" ".join(group.scopes or ()).encode()).hexdigest()[:10]
        word = "unknown" if group.scopes is None else digest
        part = f"route-scopes.{version.id}.{word}.{group.methods[0]}.{group.level}"
        asked = [f"scope:{scope_in_tag(scope)}" for scope in group.scopes or ()]
        known = () if group.scopes is None else (f"scopes:{len(asked)}", *asked)
        fields = {
            **_route_fields(edge, version, part, paths),
            "methods": list(group.methods),
            "regex_priority": group.level,
            "strip_path": False,
        }
        tags = (*_tags(edge, api, version), f"prefix:{version.name}", *known)
        route = edge.entity(Kind.ROUTE, part, _owner(api), fields, tags=tags)
        yield route
        if group.scopes is not None:
            groups = [scope_group_of(api.id, scope) for scope in group.scopes]
            allow = [group_of(api.id), *(groups or [restricted_group_of(api.id)])]
            acl = {"allow": allow, "hide_groups_header": True}
            yield edge.plugin("acl", part.replace("route", "plugin", 1), _owner(api), acl, route=route.id)


def guards(edge: Edge, part: str, owner: Owner, service_id: str, *, group: str) -> Iterator[Entity]:
    """Only the members of `group` get through to the service, and every refusal is a problem detail."""
    lua = edge.lua
    before = {"access": [lua.pre_access], "header_filter": [lua.pre_header_filter]}
    yield edge.plugin("pre-function", part, owner, before, service=service_id)
    after = {
        "access": [lua.post_access],
        "header_filter": [lua.header_filter],
        "body_filter": [lua.body_filter],
    }
    yield edge.plugin("post-function", part, owner, after, service=service_id)
    key_auth = {
        "key_names": ["x-api-key"],
        "key_in_header": True,
        "key_in_query": False,
        "key_in_body": False,
        "hide_credentials": True,
    }
    yield edge.plugin("key-auth", part, owner, key_auth, service=service_id)
    yield edge.plugin("acl", part, owner, {"allow": [group], "hide_groups_header": True}, service=service_id)


def _plugins(edge: Edge, api: Api, version: ApiVersion, service: Entity) -> Iterator[Entity]:
    part, owner = f"plugin.{version.id}", _owner(api)
    yield from guards(edge, part, owner, service.id, group=group_of(api.id))
    if edge.default_calls_per_second:
        # for a consumer whose own limits are not there: Kong takes the plugin that is nearest to the caller
        net = edge.rate_limiting({"second": edge.default_calls_per_second})
        yield edge.plugin("rate-limiting", part, owner, net, service=service.id)
    if api.cors_origins:
        yield edge.plugin("cors", part, owner, _cors(api), service=service.id)
    for name, config in _asked_for(api.settings):
        yield edge.plugin(name, part, owner, config, service=service.id)
    yield edge.plugin("prometheus", part, owner, _COUNTED, service=service.id)
    yield edge.plugin("http-log", part, owner, _http_log(edge), service=service.id)
    if edge.file_log_path:
        file_log = {
            "path": edge.file_log_path,
            "reopen": True,
            "custom_fields_by_lua": dict(edge.lua.log_fields),
        }
        yield edge.plugin("file-log", part, owner, file_log, service=service.id)


def _asked_for(settings: ApiSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    """The plugins that the provider's settings ask for."""
    if settings.max_body_mb is not None:
        yield (
            "request-size-limiting",
            {
                "allowed_payload_size": settings.max_body_mb,
                "size_unit": "megabytes",
                "require_content_length": False,
            },
        )
    if settings.blocked_ips:
        yield "ip-restriction", {"deny": list(settings.blocked_ips), "status": _BLOCKED}
    if settings.set_headers or settings.remove_headers:
        # add is for what the caller did not send, replace for what it did: together they set
        lines = [f"{name}:{value}" for name, value in settings.set_headers]
        yield (
            "request-transformer",
            {
                "add": {"headers": lines},
                "replace": {"headers": lines},
                "remove": {"headers": list(settings.remove_headers)},
            },
        )


def _cors(api: Api) -> dict[str, Any]:
    return {
        "origins": sorted(api.cors_origins),
        "exposed_headers": _EXPOSED_HEADERS,
        "credentials": False,
        "max_age": 600,
        "preflight_continue": False,
    }


def _http_log(edge: Edge) -> dict[str, Any]:
    return {
        "http_endpoint": edge.ingest_url,
        "method": "POST",
        "content_type": "application/json",
        "timeout": 10_000,
        "keepalive": 60_000,
        "headers": {"X-Ingest-Token": _INGEST_TOKEN},
        "queue": {**_QUEUE, "max_coalescing_delay": edge.log_batch_seconds},
        "custom_fields_by_lua": dict(edge.lua.log_fields),
    }
