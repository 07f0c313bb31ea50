"""key-auth: who calls, by an API key."""

from __future__ import annotations

import json
import time
from urllib.parse import parse_qsl, quote_plus, unquote_plus

from devstack.kong.exchange import Exchange
from devstack.kong.fields import Json
from devstack.kong.index import Instance
from devstack.kong.plugins.base import Plugin

DUPLICATE = object()


class KeyAuth(Plugin):
    name = "key-auth"

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        config = instance.config
        if exchange.method == "OPTIONS" and not config["run_on_preflight"]:
            return
        if config.get("anonymous") and exchange.credential:
            return
        refusal = self._authenticate(exchange, config)
        if refusal is None:
            return
        if config.get("anonymous"):
            store = self.node.store
            wanted = config["anonymous"]
            consumer = store.get("consumers", wanted) or store.find("consumers", ("username",), (wanted,))
            if consumer is None:
                exchange.error(500, "An unexpected error occurred")
            else:
                set_consumer(exchange, consumer, None)
            return
        realm = config.get("realm")
        challenge = f'Key realm="{realm}"' if realm else "Key"
        exchange.error(401, refusal, [("WWW-Authenticate", challenge)])

    def _authenticate(self, exchange: Exchange, config: Json) -> str | None:
        """None once the caller is known, else what to say."""
        key: object = None
        for name in config["key_names"]:
            key = _find(exchange, config, name)
            if key is DUPLICATE:
                return "Duplicate API key found"
            if isinstance(key, str):
                if config["hide_credentials"]:
                    _hide(exchange, config, name)
                break
        if not key or not isinstance(key, str):
            return "No API key found in request"
        credential = self.node.store.find("keyauth_credentials", ("key",), (key,))
        ttl = credential.get("ttl") if credential else None
        if credential is None or (ttl and credential["created_at"] + ttl <= time.time()):
            return "Unauthorized"
        consumer = self.node.store.get("consumers", credential["consumer"]["id"])
        if consumer is None:
            return "Unauthorized"
        set_consumer(exchange, consumer, credential)
        return None


def set_consumer(exchange: Exchange, consumer: Json, credential: Json | None) -> None:
    """The caller is known from here on, to plugins and to the upstream."""
    exchange.consumer = consumer
    exchange.credential = credential
    for header, value in (
        ("X-Consumer-ID", consumer["id"]),
        ("X-Consumer-Custom-ID", consumer.get("custom_id")),
        ("X-Consumer-Username", consumer.get("username")),
        ("X-Credential-Identifier", credential["id"] if credential else None),
        ("X-Anonymous-Consumer", None if credential else "true"),
    ):
        if value:
            exchange.headers.set(header, value.encode().decode("latin-1"))
        else:
            exchange.headers.remove(header)


def _find(exchange: Exchange, config: Json, name: str) -> object:
    """The key under this name, DUPLICATE when there is more than one, else None."""
    values = exchange.headers.get_all(name) if config["key_in_header"] else []
    if not values and config["key_in_query"] and name in exchange.raw_query:
        values = [
            value for key, value in parse_qsl(exchange.raw_query, keep_blank_values=True) if key == name
        ]
    if not values and config["key_in_body"]:
        values = _in_body(exchange, name)
    if len(values) > 1:
        return DUPLICATE
    return values[0] if values else None


def _in_body(exchange: Exchange, name: str) -> list[str]:
    content_type = exchange.headers.get("content-type") or ""
    raw = exchange.body or b""
    if "x-www-form-urlencoded" in content_type:
        return [value for key, value in parse_qsl(raw.decode("utf-8", "replace")) if key == name]
    if "json" in content_type:
        try:
            value = json.loads(raw).get(name)
        except (ValueError, AttributeError):
            return []
        return [value] if isinstance(value, str) else []
    return []


def _hide(exchange: Exchange, config: Json, name: str) -> None:
    exchange.headers.remove(name)
    if name in exchange.raw_query:
        kept = [part for part in exchange.raw_query.split("&") if unquote_plus(part.split("=", 1)[0]) != name]
        exchange.raw_query = "&".join(kept)
    if config["key_in_body"] and exchange.body:
        _hide_in_body(exchange, name)


def _hide_in_body(exchange: Exchange, name: str) -> None:
    content_type = exchange.headers.get("content-type") or ""
    raw = exchange.body or b""
    if "x-www-form-urlencoded" in content_type:
        pairs = [
            pair
            for pair in parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
            if pair[0] != name
        ]
        exchange.body = "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in pairs).encode()
    elif "json" in content_type and _in_body(exchange, name):
        held = json.loads(raw)
        held.pop(name, None)
        exchange.body = json.dumps(held, separators=(",", ":")).encode()
