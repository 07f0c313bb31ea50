"""What every process of the stack is told: addresses, secrets, settings."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from devstack.embedded.databases import DatabaseUrls, urls
from devstack.stack.layout import SERVICES, Layout, package
from devstack.stack.ports import USUAL

TOKEN_SECONDS = 12 * 3600
ADMIN_ADDRESS = "admin@marketplace.test"
# A name, wherever it is reached: a person is known by issuer and subject, and stays who they are when ports move.
ISSUER = f"http://127.0.0.1:{USUAL['oidc']}"
_INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TZ",
    "SSL_CERT_FILE",
    "JAVA_HOME",
    "MARKETPLACE_LOG_LEVEL",
)


@dataclass(frozen=True, slots=True)
class Config:
    """One start of the stack."""

    layout: Layout
    ports: dict[str, int]
    secrets: dict[str, Any]

    def url(self, part: str) -> str:
        """The HTTP address of a part."""
        return f"http://127.0.0.1:{self.ports[part]}"

    @property
    def kafka(self) -> str:
        """The broker's address."""
        return f"127.0.0.1:{self.ports['kafka']}"

    @property
    def redis(self) -> str:
        """Redis' URL."""
        return f"redis://127.0.0.1:{self.ports['redis']}/0"

    def database(self, service: str) -> DatabaseUrls:
        """A service's database as each role sees it."""
        return urls(
            package(service), port=self.ports["postgres"], password=self.secrets["database_roles"],
            superuser_password=self.secrets["postgres"],
        )  # fmt: skip

    def service_environment(self, service: str) -> dict[str, str]:
        """Everything a service reads from its environment."""
        return base_environment() | self._shared(service) | self._own(service)

    def _shared(self, service: str) -> dict[str, str]:
        database = self.database(service)
        return {
            "DATABASE_URL": database.api,
            "DATABASE_WORKER_URL": database.worker,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "REDIS_URL": self.redis,
            "JWKS_URL": f"{self.url('accounts')}/.well-known/jwks.json",
            "TOKEN_ISSUER": self.url("accounts"),
            "LOG_LEVEL": os.environ.get("MARKETPLACE_LOG_LEVEL", "INFO"),
            "ENABLE_KONG": "true",
            "ENABLE_BILLING": "true",
        }

    def _own(self, service: str) -> dict[str, str]:
        own: dict[str, dict[str, str]] = {
            "accounts": {
                "OIDC_ISSUER": ISSUER,
                "ACCOUNTS_OIDC_DISCOVERY_URL": f"{self.url('oidc')}/.well-known/openid-configuration",
                "ACCOUNTS_SIGNING_KEY": json.dumps(self.secrets["accounts_signing_key"]),
                "ACCOUNTS_TOKEN_TTL_SECONDS": str(TOKEN_SECONDS),
                "ACCOUNTS_PLATFORM_ADMINS": ADMIN_ADDRESS,
                "ACCOUNTS_SMTP_URL": f"smtp://127.0.0.1:{self.ports['smtp']}",
            },
            "catalog": {
                "CATALOG_ALLOW_LOOPBACK_UPSTREAMS": "true",
                "CATALOG_MODERATION": "false",
                "UPSTREAM_MASTER": self.secrets["upstream_master"],
            },
            "subscriptions": {},
            "metering": {
                "METERING_INGEST_TOKEN": self.secrets["ingest_token"],
                "METERING_FILE_LOG_PATH": str(self.layout.gateway_log),
                "METERING_GRACE_SECONDS": "3",
                "METERING_FOLD_SECONDS": "1",
                "METERING_ALERT_SECONDS": "1",
                "METERING_STATISTICS_SECONDS": "5",
                "METERING_GATEWAY_METRICS_URLS": f"{self.url('kong_admin')}/metrics",
                "METERING_GATEWAY_READ_SECONDS": "1",
                "METERING_COMPLETENESS_WAIT_SECONDS": "20",
                "METERING_FILE_LOG_WAIT_SECONDS": "20",
            },
            "billing": {
                "STRIPE_SECRET_KEY": self.secrets["stripe_secret_key"],
                "STRIPE_PUBLISHABLE_KEY": self.secrets["stripe_publishable_key"],
                "STRIPE_WEBHOOK_SECRET": self.secrets["stripe_webhook_secret"],
                "STRIPE_API_BASE": self.url("stripe"),
            },
            "kong-sync": {
                "KONG_ADMIN_URL": self.url("kong_admin"),
                "KONG_PROXY_URL": self.url("kong_proxy"),
                "KONG_SYNC_INGEST_URL": f"{self.url('metering')}/v1/ingest/kong",
                "KONG_SYNC_FILE_LOG_PATH": str(self.layout.gateway_log),
                "KONG_SYNC_GATEWAY_REDIS_HOST": "127.0.0.1",
                "KONG_SYNC_GATEWAY_REDIS_PORT": str(self.ports["redis"]),
                "KONG_SYNC_LUA_DIR": str(self.layout.home / "gateway" / "lua"),
                "KONG_SYNC_FRONT_DOOR_FILE": str(self.layout.home / "gateway" / "kong.yml"),
                "KONG_SYNC_LOG_BATCH_SECONDS": "0.5",
                **{f"DECK_{package(name).upper()}_URL": self.url(name) for name in SERVICES},
            },
        }
        return own[service]

    def gateway_environment(self) -> dict[str, str]:
        """What a real Kong needs in its environment for our edge, and so does the double."""
        return base_environment() | {
            "KONG_UNTRUSTED_LUA_SANDBOX_REQUIRES": "resty.sha256,resty.string,resty.openssl.hmac",
            "INGEST_TOKEN": self.secrets["ingest_token"],
            "UPSTREAM_MASTER": self.secrets["upstream_master"],
        }

    def stack(self, *, tokens: dict[str, str]) -> dict[str, Any]:
        """`.run/stack.json`: what outside checks rely on."""
        services: dict[str, dict[str, str]] = {name: {"url": self.url(name)} for name in SERVICES}
        services["metering"]["ingest_token"] = self.secrets["ingest_token"]
        databases = {name: self.database(name) for name in SERVICES}
        password, port = self.secrets["postgres"], self.ports["postgres"]
        return {
            "services": services,
            "kong": {"admin_url": self.url("kong_admin"), "proxy_url": self.url("kong_proxy")},
            "kafka": {"bootstrap_servers": self.kafka},
            "redis": {"url": self.redis},
            "stripe": {"url": self.url("stripe")},
            "oidc": {"issuer": self.url("oidc")},
            "upstream": {"url": self.url("upstream")},
            "mail": {"url": self.url("mail"), "smtp": f"smtp://127.0.0.1:{self.ports['smtp']}"},
            "postgres": {
                "url": f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres",
                "databases": {
                    name: {"url": _plain(found.api), "worker_url": _plain(found.worker)}
                    for name, found in databases.items()
                },
            },
            "tokens": tokens,
        }


def _plain(url: str) -> str:
    return url.replace("+asyncpg", "")


def base_environment() -> dict[str, str]:
    """What every process inherits; nothing else of ours leaks into it."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {"PYTHONUNBUFFERED": "1"}
