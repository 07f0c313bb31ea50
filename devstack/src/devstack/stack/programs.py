"""The processes of the stack, in the order in which they start."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devstack.embedded import broker, redis
from devstack.embedded.postgres import Postgres, binaries
from devstack.embedded.privileges import private_folder, unprivileged_user
from devstack.stack.config import ISSUER, Config, base_environment
from devstack.stack.layout import SERVICES, package


@dataclass(frozen=True, slots=True)
class Program:
    """One process: how it is started, and how one sees that it is ready."""

    name: str
    command: Callable[[], list[str]]  # made anew at each start: the broker gets a new cluster id
    environment: dict[str, str]
    ready: str | int  # a URL that answers 2xx, or a port that accepts
    user: str | None = None
    stop_signal: str = "SIGTERM"


def postgres_server(config: Config) -> Postgres:
    """The embedded PostgreSQL of this stack."""
    layout = config.layout
    return Postgres(
        layout.data / "postgres", binaries(layout.data), config.ports["postgres"], config.secrets["postgres"]
    )


def _python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def _folder(config: Config, name: str) -> str:
    return str(private_folder(config.layout.data / name))


def _fixed(command: list[str]) -> Callable[[], list[str]]:
    return lambda: command


def parts(config: Config, *, kafka: Program) -> list[Program]:
    """The servers and doubles that the services talk to."""
    ports, plain = config.ports, base_environment()
    webhook = f"{config.url('billing')}/v1/webhooks/stripe"
    redis_command = redis.command(ports["redis"], Path(_folder(config, "redis")))
    kong = _python(
        "devstack.kong", "--admin-port", str(ports["kong_admin"]), "--proxy-port", str(ports["kong_proxy"]),
        "--state", _folder(config, "kong"),
    )  # fmt: skip
    stripe = _python(
        "devstack.stripe", "--port", str(ports["stripe"]), "--state", _folder(config, "stripe"),
        "--webhook-url", webhook, "--webhook-secret", config.secrets["stripe_webhook_secret"],
    )  # fmt: skip
    oidc = _python(
        "devstack.oidc",
        "--port",
        str(ports["oidc"]),
        "--state",
        _folder(config, "oidc"),
        "--issuer",
        ISSUER,
        "--url",
        config.url("oidc"),
    )
    upstream = _python(
        "devstack.upstream", "--port", str(ports["upstream"]), "--state", _folder(config, "upstream")
    )
    mail = _python(
        "devstack.mail", "--port", str(ports["mail"]), "--smtp-port", str(ports["smtp"]),
        "--state", _folder(config, "mail"),
    )  # fmt: skip
    postgres = postgres_server(config)
    return [
        Program(
            "postgres",
            postgres.command,
            plain,
            ports["postgres"],
            user=unprivileged_user(),
            stop_signal="SIGINT",
        ),
        Program("redis", _fixed(redis_command), plain, ports["redis"]),
        kafka,
        Program("oidc", _fixed(oidc), plain, f"{config.url('oidc')}/livez"),
        Program("stripe", _fixed(stripe), plain, f"{config.url('stripe')}/livez"),
        Program("mail", _fixed(mail), plain, f"{config.url('mail')}/livez"),
        Program("upstream", _fixed(upstream), plain, f"{config.url('upstream')}/livez"),
        Program("kong", _fixed(kong), config.gateway_environment(), f"{config.url('kong_admin')}/status"),
    ]


def embedded_broker(config: Config) -> Program:
    """The broker that keeps everything in memory; each start is another cluster, and says so by its id."""
    port = config.ports["kafka"]
    return Program("kafka", lambda: broker.command(port, secrets.token_hex(8)), base_environment(), port)


def services(config: Config) -> list[Program]:
    """The six services; API and worker share a process here, to save memory and start-up time."""
    return [
        Program(
            name,
            _fixed(
                _python("common.serve", package(name), "--port", str(config.ports[name]), "--with-worker")
            ),
            config.service_environment(name),
            f"{config.url(name)}/readyz",
        )
        for name in SERVICES
    ]
