"""Checks of docker-compose.yml: each yields a finding for whatever is wrong, and nothing otherwise."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.deploy.facts import ROOT, SERVICES, WORKER_PORT, missing_and_unknown, variables

Compose = dict[str, Any]
_PINNED = re.compile(r":v?\d+\.\d+")
_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)(:?[-?][^}]*)?\}")
_SECRET_NAME = re.compile(r"PASSWORD|SECRET|SIGNING_KEY|TOKEN|MASTER")
_SECRET_KEY = re.compile(r"(PASSWORD|SIGNING_KEY|INGEST_TOKEN|_MASTER|_SECRET|SECRET_KEY)$")
_RUNS_ONCE = "no"


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def settings(compose: Compose) -> Iterator[str]:
    """API and worker of every service get what their Settings class needs, and nothing that it does not know."""
    for service in SERVICES:
        also = [f"{service.folder}-bootstrap"] if service.folder == "kong-sync" else []
        for name in (service.folder, f"{service.folder}-worker", *also):
            if name not in compose["services"]:
                yield f"{name} is missing"
                continue
            given = environment_of(compose["services"][name])
            yield from missing_and_unknown(service.package, set(given), name)
            for variable in variables(service.package).values():
                value = given.get(variable.name, "")
                if variable.secret and "://" not in value and value and not _VARIABLE.fullmatch(value):
                    yield f"{name}: {variable.name} is a secret written into the file"


def secrets(compose: Compose) -> Iterator[str]:
    """Secrets come from the environment, without a default; no URL carries a password in clear."""
    for name, service in compose["services"].items():
        for key, value in environment_of(service).items():
            for variable, default in _VARIABLE.findall(value):
                if _SECRET_NAME.search(variable) and not (default or "").startswith(":?"):
                    yield f"{name}: {key} takes the secret {variable} with a default or without a complaint"
            password_in_clear = re.search(r"://[^/@:]+:[^@/]+@", _VARIABLE.sub("", value))
            if password_in_clear or (_SECRET_KEY.search(key) and not _VARIABLE.fullmatch(value)):
                yield f"{name}: {key} holds a secret in clear"


def processes(compose: Compose) -> Iterator[str]:
    """The commands name modules, ports and files that exist, and the health check asks the port that is served."""
    for service in SERVICES:
        source = ROOT / "services" / service.folder / "src" / service.package
        api = compose["services"].get(service.folder, {})
        serve = [
            "python",
            "-m",
            "common.serve",
            service.package,
            "--host",
            "0.0.0.0",
            "--port",
            str(service.port),
        ]
        if api.get("command") != serve or not (source / "main.py").is_file():
            yield f"{service.folder}: the command does not serve {service.package} at {service.port}"
        if f":{service.port}/readyz" not in str(api.get("healthcheck", {}).get("test")):
            yield f"{service.folder}: the health check does not ask /readyz at {service.port}"
        if f"127.0.0.1:{service.port}:{service.port}" not in api.get("ports", []):
            yield f"{service.folder}: port {service.port} is not published"
        worker = compose["services"].get(f"{service.folder}-worker", {})
        if (
            worker.get("command") != ["python", "-m", f"{service.package}.worker"]
            or not (source / "worker.py").is_file()
        ):
            yield f"{service.folder}-worker: the command does not run {service.package}.worker"
        yield from _migration(compose, service.folder)


def doors(compose: Compose) -> Iterator[str]:
    """Every worker, and no API, opens a door to the network, and its health check asks there."""
    for service in SERVICES:
        name = f"{service.folder}-worker"
        worker = compose["services"].get(name, {})
        given = environment_of(worker)
        if given.get("WORKER_PORT") != str(WORKER_PORT) or given.get("WORKER_HOST") != "0.0.0.0":
            yield f"{name}: has no door at {WORKER_PORT}"
        if f":{WORKER_PORT}/livez" not in str(worker.get("healthcheck", {}).get("test")):
            yield f"{name}: the health check does not ask /livez at {WORKER_PORT}"
        if "WORKER_PORT" in environment_of(compose["services"].get(service.folder, {})):
            yield f"{service.folder}: WORKER_PORT is the worker's alone"


def _migration(compose: Compose, folder: str) -> Iterator[str]:
    job = compose["services"].get(f"{folder}-migrate", {})
    if set(environment_of(job)) != {"DATABASE_OWNER_URL"}:
        yield f"{folder}-migrate: gets more or less than DATABASE_OWNER_URL"
    if job.get("command") != ["alembic", "-c", f"/app/services/{folder}/alembic.ini", "upgrade", "head"]:
        yield f"{folder}-migrate: the command does not migrate {folder}"
    if not (ROOT / "services" / folder / "alembic.ini").is_file():
        yield f"{folder}-migrate: services/{folder}/alembic.ini does not exist"
    for name in (folder, f"{folder}-worker"):
        needs = compose["services"].get(name, {}).get("depends_on", {})
        if needs.get(f"{folder}-migrate", {}).get("condition") != "service_completed_successfully":
            yield f"{name}: does not wait for {folder}-migrate"


def images(compose: Compose) -> Iterator[str]:
    """Every image is pinned to a major and minor version at least; our own are built from the one Dockerfile."""
    for name, service in compose["services"].items():
        if not _PINNED.search(service.get("image", "")):
            yield f"{name}: the image {service.get('image')} is not pinned to a minor version"
        build = service.get("build")
        if build and not (ROOT / "services" / str(build["args"]["SERVICE"]) / "pyproject.toml").is_file():
            yield f"{name}: is built from a service that does not exist"
        if build and service["image"].split("/")[1].split(":")[0] != build["args"]["SERVICE"]:
            yield f"{name}: the image is named after another service than it is built from"


def ports(compose: Compose) -> Iterator[str]:
    """Published ports are bound to loopback, and no two services want the same one."""
    published = [
        (name, str(port))
        for name, service in compose["services"].items()
        for port in service.get("ports", [])
    ]
    for name, port in published:
        if not port.startswith("127.0.0.1:"):
            yield f"{name}: port {port} is open to the network"
    hosts = Counter(port.split(":")[-2] for _, port in published)
    yield from (f"host port {port} is published twice" for port, count in hosts.items() if count > 1)


def order(compose: Compose) -> Iterator[str]:
    """What is waited for exists, can be healthy or can end; everything that serves has a health check."""
    services = compose["services"]
    for name, service in services.items():
        for target, how in service.get("depends_on", {}).items():
            if target not in services:
                yield f"{name}: waits for {target}, which does not exist"
            elif how["condition"] == "service_healthy" and "healthcheck" not in services[target]:
                yield f"{name}: waits until {target} is healthy, which has no health check"
            elif (
                how["condition"] == "service_completed_successfully"
                and services[target].get("restart") != _RUNS_ONCE
            ):
                yield f"{name}: waits until {target} ends, which is restarted"
        if service.get("restart") != _RUNS_ONCE and "healthcheck" not in service:
            yield f"{name}: has no health check"


def volumes(compose: Compose) -> Iterator[str]:
    """Named volumes are declared and used, and what is mounted from the repository exists."""
    used = set()
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if not source.startswith("./"):
                used.add(source)
            elif not (ROOT / source).exists():
                yield f"{name}: mounts {source}, which does not exist"
    declared = set(compose["volumes"])
    yield from (f"the volume {v} is used and not declared" for v in sorted(used - declared))
    yield from (f"the volume {v} is declared and not used" for v in sorted(declared - used))


def addresses(compose: Compose) -> Iterator[str]:
    """An address inside the network names a service, and one of ours at the port that it serves."""
    served = {s.folder: s.port for s in SERVICES}
    for name, service in compose["services"].items():
        for key, value in environment_of(service).items():
            if "://" not in value or "," in value:
                continue
            parts = urlsplit(_VARIABLE.sub("x", value))
            host = parts.hostname or ""
            if host in ("localhost", ""):
                continue
            if host not in compose["services"]:
                yield f"{name}: {key} names {host}, which is no service"
            elif host in served and parts.port != served[host]:
                yield f"{name}: {key} asks {host} at {parts.port}, which serves {served[host]}"


def gateway(compose: Compose) -> Iterator[str]:
    """Kong may load what our Lua requires, knows both secrets, and writes its log where metering reads it."""
    kong = environment_of(compose["services"]["kong"])
    allowed = set(kong.get("KONG_UNTRUSTED_LUA_SANDBOX_REQUIRES", "").split(","))
    for file in sorted((ROOT / "gateway" / "lua").glob("*.lua")):
        for module in re.findall(r"require\(?\s*[\"']([\w.]+)[\"']", file.read_text(encoding="utf-8")):
            if module not in allowed:
                yield f"kong: {file.name} requires {module}, which the sandbox does not allow"
    metering = environment_of(compose["services"]["metering-worker"])
    sync = environment_of(compose["services"]["kong-sync"])
    if kong.get("INGEST_TOKEN") is None or kong.get("INGEST_TOKEN") != metering.get("METERING_INGEST_TOKEN"):
        yield "kong and metering do not share the ingest token"
    catalog = environment_of(compose["services"].get("catalog", {}))
    if kong.get("UPSTREAM_MASTER") is None or kong.get("UPSTREAM_MASTER") != catalog.get("UPSTREAM_MASTER"):
        yield "kong and catalog do not share the upstream master"
    if sync.get("KONG_SYNC_FILE_LOG_PATH") != metering.get("METERING_FILE_LOG_PATH"):
        yield "kong-sync and metering name different request logs"
    mounts = [
        v.split(":")[:2]
        for n in ("kong", "metering-worker")
        for v in compose["services"][n].get("volumes", [])
    ]
    folder = metering.get("METERING_FILE_LOG_PATH", "").rsplit("/", 1)[0]
    if mounts.count(["request-log", folder]) != 2:
        yield "kong and metering-worker do not share the folder of the request log"


CHECKS: list[Callable[[Compose], Iterator[str]]] = [
    settings, secrets, processes, doors, images, ports, order, volumes, addresses, gateway,
]  # fmt: skip


def findings(compose: Compose) -> list[str]:
    """Everything that is wrong."""
    return [finding for check in CHECKS for finding in check(compose)]


def variables_used(text: str) -> dict[str, bool]:
    """The variables that a compose file takes from its environment, and whether each has a default."""
    return {name: not (rest or "").startswith(":?") for name, rest in _VARIABLE.findall(text)}
