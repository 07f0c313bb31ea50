"""deploy/k8s, held to strict schemas and to what the services say of themselves. No cluster needed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.facts import ROOT, SERVICES
from tests.deploy.kubernetes import Tree, findings, schema_problem

K8S = ROOT / "deploy" / "k8s"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(K8S, tmp_path / "k8s"))


def test_nothing_is_wrong_with_it() -> None:
    assert findings(K8S) == []


MUTATIONS = [
    ("base/billing/api.yaml", "minReadySecond", "\nspec:\n", "\nspec:\n  minReadySecond: 3\n"),
    ("base/billing/service.yaml", "does not lead to port 8103", "port: 8103", "port: 8104"),
    (
        "base/billing/api.yaml",
        "STRIPE_SECRET_KEY is needed",
        "name: STRIPE_SECRET_KEY",
        "name: STRIPE_SECRET",
    ),
    (
        "base/billing/api.yaml",
        "STRIPE_SECRET is not a setting",
        "name: STRIPE_SECRET_KEY",
        "name: STRIPE_SECRET",
    ),
    ("base/shared/configmap.yaml", "JWKS_URL is needed", "JWKS_URL", "JWKS_URI"),
    ("base/catalog/configmap.yaml", "CATALOG_MODE is not a setting", "CATALOG_MODERATION", "CATALOG_MODE"),
    (
        "base/catalog/configmap.yaml",
        "LOG_LEVEL is given twice",
        "\ndata:\n",
        '\ndata:\n  LOG_LEVEL: "INFO"\n',
    ),
    (
        "base/metering/configmap.yaml",
        "METERING_INGEST_TOKEN is a secret",
        "\ndata:\n",
        '\ndata:\n  METERING_INGEST_TOKEN: "x"\n',
    ),
    (
        "base/kong-sync/configmap.yaml",
        "its default is this machine",
        "KONG_SYNC_INGEST_URL",
        "KONG_SYNC_NAMESPACE",
    ),
    (
        "base/kong-sync/worker.yaml",
        "not its ConfigMaps",
        "configMapRef: {name: kong-sync}",
        "configMapRef: {name: kongsync}",
    ),
    ("overlays/local/shared.yaml", "LOGLEVEL is not a setting", "LOG_LEVEL", "LOGLEVEL"),
    ("base/accounts/kustomization.yaml", "worker.yml does not exist", "worker.yaml", "worker.yml"),
    ("base/accounts/kustomization.yaml", "worker.yaml is not named", "worker.yaml", "worker.yml"),
    ("base/kustomization.yaml", "metering is not named", "  - metering\n", ""),
    (
        "overlays/production/kustomization.yaml",
        "gives marketplace/billing no tag",
        "{name: marketplace/billing,",
        "{name: b,",
    ),
    ("base/accounts/migration.yaml", "does not migrate accounts", "upgrade, head", "upgrade, base"),
    (
        "base/accounts/migration.yaml",
        "more or less than DATABASE_OWNER_URL",
        "DATABASE_OWNER_URL",
        "DATABASE_URL",
    ),
    (
        "base/accounts/migration.yaml",
        "cannot restart for ever",
        "restartPolicy: Never",
        "restartPolicy: Always",
    ),
    ("base/accounts/api.yaml", "does not serve accounts at 8106", '"8106"]', '"8101"]'),
    ("base/accounts/api.yaml", "the container's ports are", "containerPort: 8106", "containerPort: 8107"),
    ("base/accounts/api.yaml", "readinessProbe does not ask /readyz", "path: /readyz", "path: /health"),
    ("base/accounts/worker.yaml", "does not run accounts.worker", "accounts.worker", "accounts.main"),
    ("base/accounts/worker.yaml", "has no door at 8109", 'value: "8109"', 'value: "8110"'),
    ("base/accounts/worker.yaml", "has no door at 8109", "containerPort: 8109", "containerPort: 8110"),
    ("base/shared/configmap.yaml", "has no door at 8109", "0.0.0.0", "127.0.0.1"),
    ("base/shared/configmap.yaml", "WORKER_HOST is not given", '  WORKER_HOST: "0.0.0.0"\n', ""),
    ("base/accounts/worker.yaml", "livenessProbe does not ask", "livenessProbe:", "readinessProbe:"),
    ("base/accounts/worker.yaml", "startupProbe does not ask", "path: /livez", "path: /readyz"),
    ("base/accounts/api.yaml", "WORKER_PORT is the worker's", "name: REDIS_URL", "name: WORKER_PORT"),
    ("base/accounts/api.yaml", "not told to ask /metrics at 8106", 'port: "8106"', 'port: "8109"'),
    ("base/accounts/worker.yaml", "not told to ask /metrics at 8109", 'scrape: "true"', 'scrape: "false"'),
    ("base/accounts/networkpolicy.yaml", "Prometheus alone in at 8109", "{port: 8109}", "{port: 8110}"),
    (
        "base/accounts/service.yaml",
        "selects ['accounts-worker']",
        "component: api\n  ports",
        "component: worker\n  ports",
    ),
    (
        "base/accounts/poddisruptionbudget.yaml",
        "selects []",
        "name: accounts\n      ",
        "name: account\n      ",
    ),
    (
        "base/accounts/networkpolicy.yaml",
        "without a policy",
        "matchLabels:\n      app.kubernetes.io/name: accounts\n  p",
        "matchLabels:\n      app.kubernetes.io/name: acounts\n  p",
    ),
    ("base/billing/networkpolicy.yaml", "does not let the gateway in at 8103", "port: 8103", "port: 8101"),
    (
        "base/billing/horizontalpodautoscaler.yaml",
        "which does not exist",
        "kind: Deployment, name: billing",
        "kind: Deployment, name: bill",
    ),
    (
        "base/billing/api.yaml",
        "can write to its own code",
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
    ),
    (
        "base/billing/api.yaml",
        "may gain privileges",
        "allowPrivilegeEscalation: false",
        "allowPrivilegeEscalation: true",
    ),
    ("base/billing/worker.yaml", "may run as root", "runAsNonRoot: true", "runAsNonRoot: false"),
    ("base/billing/worker.yaml", "keeps capabilities", "drop: [ALL]", "drop: [NET_RAW]"),
    ("base/billing/migration.yaml", "has no seccomp profile", "type: RuntimeDefault", "type: Unconfined"),
    (
        "base/billing/migration.yaml",
        "has no ServiceAccount of its own",
        "serviceAccountName: billing",
        "serviceAccountName: default",
    ),
    ("base/billing/worker.yaml", "has no memory limit", "limits: {memory: 384Mi}", "limits: {}"),
    (
        "base/billing/worker.yaml",
        "an image of another service",
        "image: marketplace/billing",
        "image: marketplace/catalog",
    ),
]


@pytest.mark.parametrize(
    ("file", "expected", "before", "after"), MUTATIONS, ids=[f"{m[0]}: {m[1]}" for m in MUTATIONS]
)
def test_each_mistake_is_found(copy: Path, file: str, expected: str, before: str, after: str) -> None:
    text = (copy / file).read_text(encoding="utf-8")
    assert before in text
    (copy / file).write_text(text.replace(before, after), encoding="utf-8")
    assert any(expected in finding for finding in findings(copy)), findings(copy)


def test_a_missing_file_is_found(copy: Path) -> None:
    (copy / "base/metering/networkpolicy.yaml").unlink()
    assert "metering: has no NetworkPolicy" in findings(copy)


def test_the_readme_names_every_key_of_every_secret() -> None:
    readme = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
    tree = Tree.read(K8S)
    for service in SERVICES:
        for workload in tree.workloads(service):
            for key in (
                e["valueFrom"]["secretKeyRef"] for e in workload.container["env"] if "valueFrom" in e
            ):
                assert key["name"] == service.folder
                assert f"`{key['key']}`" in readme, (service.folder, key["key"])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl's own kustomize; no cluster")
@pytest.mark.parametrize("overlay", ["local", "production"])
def test_an_overlay_builds_into_valid_manifests(overlay: str) -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", str(K8S / "overlays" / overlay)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    manifests: list[dict[str, Any]] = list(yaml.safe_load_all(built.stdout))
    problems = [problem for m in manifests if (problem := schema_problem(json.dumps(m)))]
    assert problems == []
    assert {m["metadata"].get("namespace") for m in manifests if m["kind"] != "Namespace"} == {"marketplace"}
    images = re.findall(r"image: (\S+)", built.stdout)
    assert len(images) == 3 * len(SERVICES)
    assert all(":" in image.rsplit("/", 1)[1] for image in images)
