"""The entities of the Admin API: their fields, what makes them unique, and what they point at."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from devstack.kong.fields import (
    Field,
    Json,
    array,
    flag,
    foreign,
    integer,
    mapping,
    number,
    off,
    on,
    record,
    strings,
    text,
)

TIMEOUT_MAX = 2147483646
HTTP_PROTOCOLS = ("http", "https", "grpc", "grpcs", "tcp", "tls", "udp", "tls_passthrough", "ws", "wss")
NAME = re.compile(r"[A-Za-z0-9.\-_~\x80-\U0010ffff]+")


def _name(value: str) -> str | None:
    if NAME.fullmatch(value):
        return None
    return f"invalid value '{value}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"


def _tag(value: str) -> str | None:
    return (
        f"invalid tag '{value}': expected printable ascii (except `,` and `/`) or valid utf-8"
        if ("," in value or "/" in value or not value.isprintable())
        else None
    )


def _tags() -> Field:
    return Field("set", elements=Field("string", check=_tag))


def _route_path(value: str) -> str | None:
    if value.startswith("~"):
        try:
            re.compile(value[1:])
        except re.error as error:
            return f"invalid regex: '{value[1:]}' (PCRE returned: {error})"
        return None
    if not value.startswith("/"):
        return "should start with: / (fixed path) or ~/ (regex path)"
    if "//" in value:
        return "must not have empty segments"
    if not re.fullmatch(r"(?:[\w.\-~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2}|[^\x00-\x7f])*", value):
        return "invalid path: '" + value + "' (characters outside of the reserved list of RFC 3986 found)"
    return None


def _host(value: str) -> str | None:
    return (
        None
        if re.fullmatch(r"[^\s/:]+|\[[0-9a-fA-F:]+\]|[0-9a-fA-F:]+", value)
        else f"invalid value: {value}"
    )


def _service_path(value: str) -> str | None:
    return "must not have empty segments" if "//" in value else None


SERVICE: Mapping[str, Field] = {
    "id": text(),
    "created_at": integer(),
    "updated_at": integer(),
    "name": text(check=_name),
    "retries": integer(5, between=(0, 32767)),
    "protocol": text(
        "http",
        required=True,
        one_of=("grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"),
    ),
    "host": text(required=True, check=_host),
    "port": integer(80, required=True, between=(0, 65535)),
    "path": text(starts_with="/", check=_service_path),
    "connect_timeout": integer(60000, between=(1, TIMEOUT_MAX)),
    "write_timeout": integer(60000, between=(1, TIMEOUT_MAX)),
    "read_timeout": integer(60000, between=(1, TIMEOUT_MAX)),
    "tags": _tags(),
    "client_certificate": foreign("certificates"),
    "tls_verify": flag(),
    "tls_verify_depth": integer(between=(0, 64)),
    "ca_certificates": array(),
    "enabled": on(required=True),
}
ROUTE: Mapping[str, Field] = {
    "id": text(),
    "created_at": integer(),
    "updated_at": integer(),
    "name": text(check=_name),
    "protocols": Field(
        "set", lambda: ["http", "https"], required=True, len_min=1, elements=text(one_of=HTTP_PROTOCOLS)
    ),
    "https_redirect_status_code": integer(426, required=True, one_of=(426, 301, 302, 307, 308)),
    "strip_path": on(required=True),
    "preserve_host": off(required=True),
    "request_buffering": on(required=True),
    "response_buffering": on(required=True),
    "tags": _tags(),
    "service": foreign("services"),
    "snis": strings(),
    "sources": array(record({"ip": text(), "port": integer()})),
    "destinations": array(record({"ip": text(), "port": integer()})),
    "methods": Field(
        "set",
        elements=Field(
            "string", check=lambda v: None if re.fullmatch("[A-Z]+", v) else f"invalid value: {v}"
        ),
    ),
    "hosts": array(),
    "paths": array(Field("string", check=_route_path)),
    "headers": mapping(array(len_min=1)),
    "regex_priority": integer(0),
    "path_handling": text("v0", one_of=("v0", "v1")),
}
CONSUMER: Mapping[str, Field] = {
    "id": text(),
    "created_at": integer(),
    "updated_at": integer(),
    "username": text(),
    "custom_id": text(),
    "tags": _tags(),
}
PLUGIN: Mapping[str, Field] = {
    "id": text(),
    "created_at": integer(),
    "updated_at": integer(),
    "name": text(required=True),
    "instance_name": text(check=_name),
    "route": foreign("routes"),
    "service": foreign("services"),
    "consumer": foreign("consumers"),
    "config": Field("record", required=True),
    "protocols": Field(
        "set", lambda: ["grpc", "grpcs", "http", "https"], required=True, elements=text(one_of=HTTP_PROTOCOLS)
    ),
    "enabled": on(required=True),
    "tags": _tags(),
}


def _random_key() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))


KEYAUTH: Mapping[str, Field] = {
    "id": text(),
    "created_at": integer(),
    "consumer": foreign("consumers", required=True),
    "key": text(_random_key),  # type: ignore[arg-type] # a default may be a function
    "tags": _tags(),
    "ttl": integer(between=(0, 100000000)),
}
ACL: Mapping[str, Field] = {
    "id": text(),
    "created_at": integer(),
    "consumer": foreign("consumers", required=True),
    "group": text(required=True),
    "tags": _tags(),
}
_HEALTHY = [200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308]
_STATUSES = integer(between=(100, 999))


def _health(*, with_interval: bool, kind: Json) -> Field:
    extra = {"interval": number(0)} if with_interval else {}
    unhealthy = {"tcp_failures": integer(0), "timeouts": integer(0), "http_failures": integer(0)}
    return record(
        {
            "type": text("http", one_of=("tcp", "http", "https", "grpc", "grpcs")),
            "healthy": record(
                {"successes": integer(0), "http_statuses": array(_STATUSES, lambda: list(kind["up"]))} | extra
            ),
            "unhealthy": record(
                unhealthy | {"http_statuses": array(_STATUSES, lambda: list(kind["down"]))} | extra
            ),
        }
        | (
            {
                "timeout": number(1),
                "concurrency": integer(10),
                "http_path": text("/"),
                "https_sni": text(),
                "https_verify_certificate": on(),
                "headers": mapping(array()),
            }
            if with_interval
            else {}
        )
    )


UPSTREAM: Mapping[str, Field] = {
    "id": text(),
    "created_at": integer(),
    "updated_at": integer(),
    "name": text(required=True, check=_host),
    "algorithm": text(
        "round-robin", one_of=("consistent-hashing", "least-connections", "round-robin", "latency")
    ),
    **{f"hash_{name}": text(default) for name, default in (("on", "none"), ("fallback", "none"))},
    **{f"hash_{where}": text() for where in ("on_header", "fallback_header", "on_cookie", "on_query_arg")},
    **{f"hash_{where}": text() for where in ("fallback_query_arg", "on_uri_capture", "fallback_uri_capture")},
    "hash_on_cookie_path": text("/"),
    "slots": integer(10000, between=(10, 65536)),
    "healthchecks": record(
        {
            "active": _health(
                with_interval=True, kind={"up": [200, 302], "down": [429, 404, 500, 501, 502, 503, 504, 505]}
            ),
            "passive": _health(with_interval=False, kind={"up": _HEALTHY, "down": [429, 500, 503]}),
            "threshold": number(0),
        }
    ),
    "host_header": text(),
    "client_certificate": foreign("certificates"),
    "use_srv_name": off(),
    "tags": _tags(),
}
TARGET: Mapping[str, Field] = {
    "id": text(),
    "created_at": number(),
    "updated_at": number(),
    "upstream": foreign("upstreams", required=True),
    "target": text(required=True),
    "weight": integer(100, between=(0, 65535)),
    "tags": _tags(),
}


def expand_url(given: Json) -> None:
    """`url` is shorthand for protocol, host, port and path."""
    if "url" not in given:
        return
    url = given.pop("url")
    if not isinstance(url, str):
        given.setdefault("host", None)
        return
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    given["protocol"] = parts.scheme or None
    given["host"] = host
    given["port"] = port or (443 if parts.scheme == "https" else 80)
    given["path"] = parts.path or None
    if not parts.scheme:
        given["protocol"], given["path"] = "http", url


def normal_target(given: Json) -> None:
    target = given.get("target")
    if isinstance(target, str) and target and not re.search(r":\d+$", target):
        given["target"] = f"{target}:8000"


def route_problem(route: Json) -> str | None:
    protocols = set(route.get("protocols") or ())
    for protocol, names in (
        ("https", ("methods", "hosts", "headers", "paths", "snis")),
        ("http", ("methods", "hosts", "headers", "paths")),
    ):
        if protocol in protocols and not any(route.get(name) for name in names):
            listed = ", ".join(f"'{name}'" for name in names)
            return f"must set one of {listed} when 'protocols' is '{protocol}'"
    return None


def consumer_problem(consumer: Json) -> dict[str, Any]:
    if consumer.get("username") is None and consumer.get("custom_id") is None:
        said = "at least one of these fields must be non-empty: 'custom_id', 'username'"
        return {"@entity": [said]}
    return {}


@dataclass(frozen=True, slots=True)
class Entity:
    """A kind of entity as the Admin API knows it."""

    kind: str
    fields: Mapping[str, Field]
    unique: tuple[tuple[str, ...], ...] = ()
    name: str | None = None  # the field that stands for the id in a path
    children: tuple[str, ...] = ()  # kinds that go with it when it is deleted
    held_by: tuple[str, ...] = ()  # kinds that forbid its deletion
    core: bool = False  # read into the router and the plugin index, so it may take effect late
    prepare: Callable[[Json], None] | None = None
    fraction: bool = False
    extra: Callable[[Json], dict[str, Any]] = field(default=lambda _: {})
    unable: Callable[[Json], str | None] = field(default=lambda _: None)  # what it asks for in vain

    @property
    def references(self) -> dict[str, str]:
        return {n: f.reference for n, f in self.fields.items() if f.kind == "foreign" and f.reference}


def _beyond_round_robin(upstream: Json) -> str | None:
    """Taken silently, it would be a lie."""
    if upstream["algorithm"] != "round-robin":
        return f"the algorithm '{upstream['algorithm']}'"
    active, passive = upstream["healthchecks"]["active"], upstream["healthchecks"]["passive"]
    counts = [checks[state].get(name) for checks in (active, passive) for state in checks if state.endswith("healthy")
              for name in ("interval", "successes", "tcp_failures", "timeouts", "http_failures")]  # fmt: skip
    return "health checks" if any(counts) else None


def _parallel_queue(plugin: Json) -> str | None:
    queue = plugin["config"].get("queue") or {}
    return "a queue without a concurrency limit" if queue.get("concurrency_limit") == -1 else None


def _route_extra(route: Json) -> dict[str, Any]:
    said = route_problem(route)
    return {"@entity": [said]} if said else {}


ENTITIES: dict[str, Entity] = {
    entity.kind: entity
    for entity in (
        Entity(
            "services",
            SERVICE,
            (("name",),),
            "name",
            ("plugins",),
            ("routes",),
            core=True,
            prepare=expand_url,
        ),
        Entity("routes", ROUTE, (("name",),), "name", ("plugins",), core=True, extra=_route_extra),
        Entity(
            "consumers",
            CONSUMER,
            (("username",), ("custom_id",)),
            "username",
            ("plugins", "keyauth_credentials", "acls"),
            extra=consumer_problem,
        ),
        Entity(
            "plugins",
            PLUGIN,
            (("consumer", "name", "route", "service"), ("instance_name",)),
            "instance_name",
            core=True,
            unable=_parallel_queue,
        ),
        Entity("keyauth_credentials", KEYAUTH, (("key",),), "key"),
        Entity("acls", ACL, (("consumer", "group"),)),
        Entity(
            "upstreams", UPSTREAM, (("name",),), "name", ("targets",), core=True, unable=_beyond_round_robin
        ),
        Entity(
            "targets",
            TARGET,
            (("upstream", "target"),),
            "target",
            core=True,
            prepare=normal_target,
            fraction=True,
        ),
    )
}
