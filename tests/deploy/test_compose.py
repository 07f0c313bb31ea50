"""docker-compose.yml, held to what the services say of themselves. No Docker engine needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.deploy.compose import Compose, findings, variables_used
from tests.deploy.facts import ROOT, SERVICES, WORKER_PORT, variables

TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")


@pytest.fixture
def compose() -> Compose:
    # Anchors make shared objects of what is written once; a change to one service must not be one to all.
    return dict(_unshared(yaml.safe_load(TEXT)))


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def test_nothing_is_wrong_with_it(compose: Compose) -> None:
    assert findings(compose) == []


def _set(path: str, value: Any) -> Callable[[Compose], None]:
    def change(compose: Compose) -> None:
        *parents, last = path.split("/")
        place: Any = compose
        for name in parents:
            place = place[name]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return change


MUTATIONS: list[tuple[Callable[[Compose], None], str]] = [
    (_set("services/billing/environment/STRIPE_SECRET_KEY", None), "billing: STRIPE_SECRET_KEY is needed"),
    (_set("services/billing-worker/environment/DATABASE_URL", None), "billing-worker: DATABASE_URL is needed"),
    (_set("services/catalog/environment/CATALOG_MODERATON", "x"), "catalog: CATALOG_MODERATON is not a setting"),
    (_set("services/kong-sync/environment/KONG_SYNC_INGEST_URL", None), "its default is this machine"),
    (_set("services/accounts/environment/ACCOUNTS_SIGNING_KEY", "{}"), "is a secret written into the file"),
    (_set("services/kong/environment/INGEST_TOKEN", "hunter2hunter2"), "kong: INGEST_TOKEN holds a secret in clear"),
    (_set("services/grafana/environment/GF_SECURITY_ADMIN_PASSWORD", "${GRAFANA_PASSWORD:-admin}"), "with a default"),
    (_set("services/catalog/environment/DATABASE_URL", "postgresql+asyncpg://u:pw@postgres/catalog"), "in clear"),
    (_set("services/catalog", None), "catalog is missing"),
    (_set("services/kong-sync-bootstrap", None), "kong-sync-bootstrap is missing"),
    (_set("services/catalog/command", ["python", "-m", "catalog"]), "does not serve catalog"),
    (_set("services/catalog-worker/command", ["python", "-m", "catalog.wörker"]), "does not run catalog.worker"),
    (_set("services/catalog-worker/environment/WORKER_PORT", None), "catalog-worker: has no door at 8109"),
    (_set("services/catalog-worker/environment/WORKER_HOST", "127.0.0.1"), "catalog-worker: has no door at 8109"),
    (_set("services/catalog-worker/healthcheck/test", ["CMD", "true"]), "does not ask /livez at 8109"),
    (_set("services/catalog-worker/healthcheck", None), "catalog-worker: has no health check"),
    (_set("services/catalog/environment/WORKER_PORT", "8109"), "catalog: WORKER_PORT is the worker's alone"),
    (_set("services/catalog/environment/WORKER_HOST", None), "WORKER_HOST is not given, and its default is this"),
    (_set("services/metering-migrate/command", ["alembic"]), "does not migrate metering"),
    (_set("services/metering-migrate/environment/DATABASE_URL", "x"), "more or less than DATABASE_OWNER_URL"),
    (_set("services/metering/depends_on/metering-migrate", None), "metering: does not wait for metering-migrate"),
    (_set("services/redis/image", "redis"), "redis: the image redis is not pinned"),
    (_set("services/redis/image", "redis:8"), "redis: the image redis:8 is not pinned"),
    (_set("services/billing/build/args/SERVICE", "biling"), "a service that does not exist"),
    (_set("services/billing/build/args/SERVICE", "catalog"), "named after another service"),
    (_set("services/redis/ports", ["127.0.0.1:8120:6379"]), "host port 8120 is published twice"),
    (_set("services/redis/ports", ["8121:6379"]), "redis: port 8121:6379 is open to the network"),
    (_set("services/kong/depends_on/kongmigrate", {"condition": "service_started"}), "kongmigrate, which does not"),
    (_set("services/kafka/healthcheck", None), "kafka: has no health check"),
    (_set("services/kong-migrate/restart", "always"), "waits until kong-migrate ends, which is restarted"),
    (_set("volumes/redis", None), "the volume redis is used and not declared"),
    (_set("volumes/spare", {}), "the volume spare is declared and not used"),
    (_set("services/prometheus/volumes", ["./deploy/prom.yml:/x:ro", "prometheus:/p"]), "prom.yml, which does not"),
    (_set("services/catalog/environment/JWKS_URL", "http://account:8106/x"), "names account, which is no service"),
    (_set("services/catalog/environment/JWKS_URL", "http://accounts:8101/x"), "which serves 8106"),
    (_set("services/kong/environment/KONG_UNTRUSTED_LUA_SANDBOX_REQUIRES", "resty.string"), "resty.sha256"),
    (_set("services/kong/environment/UPSTREAM_MASTER", None), "do not share the upstream master"),
    (_set("services/kong/environment/INGEST_TOKEN", "${OTHER:?x}"), "do not share the ingest token"),
    (_set("services/kong-sync/environment/KONG_SYNC_FILE_LOG_PATH", "/tmp/x"), "different request logs"),
    (_set("services/metering-worker/volumes", None), "do not share the folder"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), MUTATIONS, ids=[m[1] for m in MUTATIONS])
def test_each_mistake_is_found(compose: Compose, change: Callable[[Compose], None], expected: str) -> None:
    change(compose)
    assert any(expected in finding for finding in findings(compose)), findings(compose)


@pytest.mark.parametrize("service", SERVICES, ids=lambda s: s.folder)
@pytest.mark.parametrize("process", ["", "-worker"])
def test_no_needed_variable_can_be_dropped_from_any_process(
    compose: Compose, service: Any, process: str
) -> None:
    environment = compose["services"][service.folder + process]["environment"]
    for variable in variables(service.package).values():
        if variable.required:
            kept = environment.pop(variable.name)
            assert any(f"{variable.name} is needed" in f for f in findings(compose)), variable
            environment[variable.name] = kept


def test_the_example_names_every_variable_and_holds_no_secret() -> None:
    used = variables_used(TEXT)
    named = dict(re.findall(r"(?m)^(?:# )?([A-Z0-9_]+)=(.*)$", EXAMPLE))
    assert set(named) == set(used)
    optional = set(re.findall(r"(?m)^# ([A-Z0-9_]+)=", EXAMPLE))
    assert optional == {name for name, has_default in used.items() if has_default}
    assert [name for name in named if name not in optional and named[name]] == []


def test_prometheus_scrapes_every_service_every_worker_and_kong() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    targets = {
        t for job in config["scrape_configs"] for group in job["static_configs"] for t in group["targets"]
    }
    apis = {f"{s.folder}:{s.port}" for s in SERVICES}
    assert targets == apis | {f"{s.folder}-worker:{WORKER_PORT}" for s in SERVICES} | {"kong:8100"}


def test_grafana_reads_prometheus_where_compose_runs_it() -> None:
    path = ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml"
    (source,) = yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
