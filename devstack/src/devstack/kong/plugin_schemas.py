"""The `config` of each plugin that the double runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devstack.kong.entities import TIMEOUT_MAX
from devstack.kong.fields import Field, Json, array, integer, mapping, number, off, on, record, text
from devstack.kong.lua.check import syntax_problem

# As `GET /plugins/enabled` of a stock Kong lists them; a plugin without a schema below is known but not run.
BUNDLED = (
    "acme", "grpc-gateway", "grpc-web", "pre-function", "post-function", "azure-functions", "zipkin",
    "opentelemetry", "standard-webhooks", "jwt", "acl", "correlation-id", "cors", "oauth2", "tcp-log", "udp-log",
    "file-log", "http-log", "key-auth", "hmac-auth", "basic-auth", "ip-restriction", "request-transformer",
    "response-transformer", "request-size-limiting", "rate-limiting", "response-ratelimiting", "syslog", "loggly",
    "datadog", "ldap-auth", "statsd", "bot-detection", "redirect", "request-termination", "prometheus",
    "proxy-cache", "session",
)  # fmt: skip
PERIODS = ("second", "minute", "hour", "day", "month", "year")
METHODS = ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT")
_REDIS_NAMES = (
    "host",
    "port",
    "password",
    "username",
    "ssl",
    "ssl_verify",
    "server_name",
    "timeout",
    "database",
)


def _periods_in_order(config: Json) -> str | None:
    for index, lower in enumerate(PERIODS):
        for upper in PERIODS[index + 1 :]:
            low, high = config.get(lower), config.get(upper)
            if low is not None and high is not None and high < low:
                return (
                    f"The limit for {upper}({high:.1f}) cannot be lower than the limit for {lower}({low:.1f})"
                )
    return None


def _functions() -> dict[str, Field]:
    phases = ("certificate", "rewrite", "access", "header_filter", "body_filter", "log")
    return {phase: array(text(check=syntax_problem), list) for phase in phases}


def _queue() -> Field:
    return record(
        {
            "max_batch_size": integer(1, between=(1, 1000000)),
            "max_coalescing_delay": number(1, between=(0, 3600)),
            "max_entries": integer(10000, between=(1, 1000000)),
            "max_bytes": integer(),
            "max_retry_time": number(60),
            "initial_retry_delay": number(0.01, between=(0.001, 1000000)),
            "max_retry_delay": number(60, between=(0.001, 1000000)),
            "concurrency_limit": integer(1, one_of=(-1, 1)),
        }
    )


def _header_lists(*names: str) -> Field:
    return record({name: array(default=list) for name in names})


_NO_EMPTY_SEGMENTS = {"match_none": [{"pattern": "//", "err": "must not have empty segments"}]}


def _no_empty_segments(path: str) -> str | None:
    return "must not have empty segments" if "//" in path else None


_LUA_FIELDS = mapping(text(len_min=0, check=syntax_problem))
_REDIS = record(
    {
        "host": text(),
        "port": integer(6379, between=(0, 65535)),
        "timeout": integer(2000, between=(0, TIMEOUT_MAX)),
        "username": text(told={"referenceable": True}),
        "password": text(len_min=0, told={"referenceable": True, "encrypted": True}),
        "database": integer(0),
        "ssl": off(told={"required": False}),
        "ssl_verify": off(told={"required": False}),
        "server_name": text(told={"required": False}),
    }
)

CONFIGS: dict[str, Mapping[str, Field]] = {
    "pre-function": _functions(),
    "post-function": _functions(),
    "key-auth": {
        "key_names": array(text(), lambda: ["apikey"], required=True),
        "hide_credentials": off(required=True),
        "anonymous": text(),
        "key_in_header": on(required=True),
        "key_in_query": on(required=True),
        "key_in_body": off(required=True),
        "run_on_preflight": on(required=True),
        "realm": text(),
    },
    "acl": {
        "allow": array(),
        "deny": array(),
        "hide_groups_header": off(required=True),
        "always_use_authenticated_groups": off(required=True),
    },
    "rate-limiting": {
        **{period: number(gt=0) for period in PERIODS},
        "limit_by": text("consumer", one_of=("consumer", "credential", "ip", "service", "header", "path")),
        "header_name": text(),
        "path": text(starts_with="/", check=_no_empty_segments, told=_NO_EMPTY_SEGMENTS),
        "policy": text("local", len_min=0, one_of=("local", "cluster", "redis")),
        "fault_tolerant": on(required=True),
        "redis": _REDIS,
        "hide_client_headers": off(required=True),
        "error_code": number(429, gt=0),
        "error_message": text("API rate limit exceeded"),
        "sync_rate": number(-1, required=True),
    },
    "cors": {
        "origins": array(),
        "headers": array(),
        "exposed_headers": array(),
        "methods": array(text(one_of=METHODS), lambda: list(METHODS)),
        "max_age": number(),
        "credentials": off(required=True),
        "private_network": off(required=True),
        "preflight_continue": off(required=True),
    },
    "http-log": {
        "http_endpoint": text(required=True),
        "method": text("POST", one_of=("POST", "PUT", "PATCH")),
        "content_type": text(
            "application/json", one_of=("application/json", "application/json; charset=utf-8")
        ),
        "timeout": number(10000),
        "keepalive": number(60000),
        "retry_count": integer(),
        "queue_size": integer(),
        "flush_timeout": number(),
        "headers": mapping(text()),
        "queue": _queue(),
        "custom_fields_by_lua": _LUA_FIELDS,
    },
    "file-log": {
        "path": text(required=True),
        "reopen": off(required=True),
        "custom_fields_by_lua": _LUA_FIELDS,
    },
    "request-termination": {
        "status_code": integer(503, required=True, between=(100, 599)),
        "message": text(),
        "content_type": text(),
        "body": text(),
        "echo": off(required=True),
        "trigger": text(),
    },
    "request-transformer": {
        "http_method": text(),
        "remove": _header_lists("body", "headers", "querystring"),
        "rename": _header_lists("body", "headers", "querystring"),
        "replace": record(
            {"uri": text(), **{n: array(default=list) for n in ("body", "headers", "querystring")}}
        ),
        "add": _header_lists("body", "headers", "querystring"),
        "append": _header_lists("body", "headers", "querystring"),
    },
    "response-transformer": {
        "remove": _header_lists("json", "headers"),
        "rename": _header_lists("json", "headers"),
        "replace": _header_lists("json", "json_types", "headers"),
        "add": _header_lists("json", "json_types", "headers"),
        "append": _header_lists("json", "json_types", "headers"),
    },
    "ip-restriction": {
        "allow": array(),
        "deny": array(),
        "status": number(),
        "message": text(),
    },
    "request-size-limiting": {
        "allowed_payload_size": integer(128),
        "size_unit": text("megabytes", required=True, one_of=("megabytes", "kilobytes", "bytes")),
        "require_content_length": off(required=True),
    },
    "correlation-id": {
        "header_name": text("Kong-Request-ID"),
        "generator": text("uuid#counter", required=True, one_of=("uuid", "uuid#counter", "tracker")),
        "echo_downstream": off(required=True),
    },
    "prometheus": {
        name: off()
        for name in (
            "per_consumer",
            "status_code_metrics",
            "ai_metrics",
            "latency_metrics",
            "bandwidth_metrics",
            "upstream_health_metrics",
        )
    },
}
# Plugins that a consumer cannot carry: they run before anybody is known.
NO_CONSUMER = {"acl", "cors", "key-auth"}
PROTOCOLS = {"ip-restriction": ["http", "https", "tcp", "tls", "grpc", "grpcs"]}


def _conditional(field: str, value: str, needed: str, *, both: bool, filled: bool = False) -> dict[str, Any]:
    return {
        "conditional": {
            "if_field": f"config.{field}",
            "if_match": {"eq": value} | ({"len_min": 1} if both else {}),
            "then_field": f"config.{needed}",
            "then_match": {"required": True} | ({"len_min": 1} if filled else {}),
        }
    }


# As `GET /schemas/plugins/…` tells them, where it was recorded.
ENTITY_CHECKS: dict[str, list[dict[str, Any]]] = {
    "rate-limiting": [
        {"at_least_one_of": [f"config.{period}" for period in PERIODS]},
        _conditional("policy", "redis", "redis.host", both=False, filled=True),
        _conditional("policy", "redis", "redis.port", both=False),
        _conditional("policy", "redis", "redis.timeout", both=False),
        _conditional("limit_by", "header", "header_name", both=True),
        _conditional("limit_by", "path", "path", both=True),
    ]
}
_ALIASES = {"rate-limiting": {f"redis_{name}": ("redis", name) for name in _REDIS_NAMES}}


def config_field(plugin: str) -> Field:
    """The schema of this plugin's `config`, with Kong's checks over several fields."""
    checks = {"rate-limiting": _periods_in_order}
    aliases: Any = _ALIASES.get(plugin, {})
    return Field("record", required=True, fields=CONFIGS[plugin], aliases=aliases, check=checks.get(plugin))


def entity_problem(plugin: str, config: Json) -> dict[str, Any]:
    """What Kong's checks over the whole entity would say of this config."""
    if plugin == "rate-limiting":
        return _rate_limiting_problem(config)
    if plugin == "acl" and bool(config.get("allow")) == bool(config.get("deny")):
        word = (
            "exactly one of these fields must be non-empty"
            if not config.get("allow")
            else ("only one of these fields must be non-empty")
        )
        return {"@entity": [f"{word}: 'config.allow', 'config.deny'"]}
    if plugin == "ip-restriction" and not config.get("allow") and not config.get("deny"):
        return {"@entity": ["at least one of these fields must be non-empty: 'config.allow', 'config.deny'"]}
    if plugin == "request-termination":
        if config.get("message") and (config.get("content_type") or config.get("body")):
            return {"@entity": ["message cannot be used with content_type or body"]}
        if config.get("content_type") and not config.get("body"):
            return {"@entity": ["content_type requires a body"]}
    return {}


def _rate_limiting_problem(config: Json) -> dict[str, Any]:
    if all(config.get(period) is None for period in PERIODS):
        names = ", ".join(f"'config.{period}'" for period in PERIODS)
        return {"@entity": [f"at least one of these fields must be non-empty: {names}"]}
    needed = {"header": "header_name", "path": "path"}.get(config["limit_by"])
    for condition, path, present in (
        ("policy", "redis.host", config["policy"] != "redis" or config["redis"].get("host")),
        ("limit_by", needed, needed is None or config.get(needed)),
    ):
        if not present:
            problem: Any = "required field missing"
            for step in reversed(str(path).split(".")):
                problem = {step: problem}
            said = f"failed conditional validation given value of field 'config.{condition}'"
            return {"@entity": [said], "config": problem}
    return {}
