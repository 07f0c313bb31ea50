"""Checks of deploy/k8s: each yields a finding for whatever is wrong, and nothing otherwise. No cluster needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self, cast

import kubernetes_validate
import yaml
from kubernetes_validate import utils as validating

from tests.deploy.facts import ROOT, SERVICES, WORKER_PORT, Service, missing_and_unknown, variables

Manifest = dict[str, Any]
VERSION = "1.37"
# The library reads several megabytes of definitions for every manifest; once is enough.
validating.schema_contents = cache(validating.schema_contents)
_ALWAYS = ["Deployment", "Service", "Job", "ConfigMap", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy",
           "HorizontalPodAutoscaler"]  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A manifest and the file it stands in."""

    file: Path
    manifest: Manifest

    @property
    def where(self) -> str:
        return f"{self.file.parent.name}/{self.file.name}"

    @property
    def kind(self) -> str:
        return str(self.manifest.get("kind"))

    @property
    def name(self) -> str:
        return str(self.manifest.get("metadata", {}).get("name"))

    @property
    def pod(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self.manifest["spec"]["template"]["spec"])

    @property
    def container(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self.pod["containers"][0])


def _documents(text: str) -> list[Any]:
    # The parser in C, where there is one: the tests read these files many times.
    return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@dataclass(frozen=True)
class Tree:
    """deploy/k8s, or a changed copy of it, as it was when it was read."""

    root: Path
    files: dict[Path, list[Any]]

    @classmethod
    def read(cls, root: Path) -> Self:
        return cls(root, {f: _documents(f.read_text(encoding="utf-8")) for f in sorted(root.rglob("*.yaml"))})

    def kustomization(self, folder: Path) -> dict[str, Any]:
        return cast("dict[str, Any]", self.files[folder / "kustomization.yaml"][0])

    def manifests(self, below: str) -> list[Found]:
        """Every manifest below a folder: kustomizations and their JSON patches are none."""
        return [
            Found(file, document)
            for file, documents in self.files.items()
            for document in documents
            if file.is_relative_to(self.root / below)
            and isinstance(document, dict)
            and document.get("kind") != "Kustomization"
        ]

    def of(self, service: Service, kind: str) -> list[Found]:
        return [f for f in self.manifests(f"base/{service.folder}") if f.kind == kind]

    def workloads(self, service: Service) -> list[Found]:
        return self.of(service, "Deployment") + self.of(service, "Job")


@cache
def schema_problem(manifest: str) -> str | None:
    """What is wrong with a manifest (as JSON) by Kubernetes' own schema, in strict mode; asked once for each text."""
    try:
        kubernetes_validate.validate(json.loads(manifest), VERSION, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return str(error.message)
    return None


def schemas(tree: Tree) -> Iterator[str]:
    """Every manifest is what its API says, without fields that it does not know."""
    for found in tree.manifests("."):
        if problem := schema_problem(json.dumps(found.manifest)):
            yield f"{found.where}: {problem}"


def kustomizations(tree: Tree) -> Iterator[str]:
    """Every resource and patch that a kustomization names exists, and every file is named by the one beside it."""
    for folder in [file.parent for file in tree.files if file.name == "kustomization.yaml"]:
        content = tree.kustomization(folder)
        named = list(content.get("resources", [])) + [p["path"] for p in content.get("patches", [])]
        for name in named:
            target = folder / name
            if not (target.is_file() or (target / "kustomization.yaml").is_file()):
                yield f"{folder.name}: {name} does not exist"
        beside = {f.name for f in folder.glob("*.yaml")} - {"kustomization.yaml"}
        beside |= {f.parent.name for f in folder.glob("*/kustomization.yaml")}
        yield from (f"{folder.name}: {name} is not named" for name in sorted(beside - set(named)))


def completeness(tree: Tree) -> Iterator[str]:
    """Every service has every kind, an API and a worker, in the base that both overlays take."""
    for service in SERVICES:
        for kind in _ALWAYS:
            if not tree.of(service, kind):
                yield f"{service.folder}: has no {kind}"
        names = {f.name for f in tree.of(service, "Deployment")}
        if names != {service.folder, f"{service.folder}-worker"}:
            yield f"{service.folder}: the Deployments are {sorted(names)}"
    for overlay in ("local", "production"):
        content = yaml.safe_load(
            (tree.root / "overlays" / overlay / "kustomization.yaml").read_text(encoding="utf-8")
        )
        tagged = {i["name"] for i in content["images"] if i.get("newTag") not in (None, "latest")}
        missing = {f"marketplace/{s.folder}" for s in SERVICES} - tagged
        yield from (f"{overlay}: gives {image} no tag" for image in sorted(missing))


def _data(tree: Tree, folder: str, name: str) -> dict[str, str]:
    maps = [f for f in tree.manifests(folder) if f.kind == "ConfigMap" and f.name == name]
    return {k: str(v) for f in maps for k, v in (f.manifest.get("data") or {}).items()}


def settings(tree: Tree) -> Iterator[str]:
    """ConfigMaps and Secret references together give API and worker what the Settings class needs, and no more."""
    for service in SERVICES:
        shared = _data(tree, "base/shared", "marketplace")
        own = _data(tree, f"base/{service.folder}", service.folder)
        yield from (f"{service.folder}: {name} is given twice" for name in sorted(set(shared) & set(own)))
        secret = {v.name for v in variables(service.package).values() if v.secret}
        for name in sorted(secret & {*shared, *own}):
            yield f"{service.folder}: {name} is a secret and stands in a ConfigMap"
        for workload in tree.of(service, "Deployment"):
            sources = [s["configMapRef"]["name"] for s in workload.container.get("envFrom", [])]
            if sources != ["marketplace", service.folder]:
                yield f"{workload.where}: reads {sources}, not its ConfigMaps"
            entries = workload.container.get("env", [])
            given = {*shared, *own, *(e["name"] for e in entries)}
            yield from missing_and_unknown(service.package, given, workload.where)
            for entry in entries:
                if entry["name"] in secret and "secretKeyRef" not in entry.get("valueFrom", {}):
                    yield f"{workload.where}: {entry['name']} is a secret and does not come from a Secret"
    for overlay in ("local", "production"):
        for found in tree.manifests(f"overlays/{overlay}"):
            known = {
                n for s in SERVICES if found.name in (s.folder, "marketplace") for n in variables(s.package)
            }
            for name in found.manifest.get("data", {}):
                if found.kind == "ConfigMap" and name not in known:
                    yield f"{found.where}: {name} is not a setting"


def migrations(tree: Tree) -> Iterator[str]:
    """The migration job runs alembic of its service as the owner, and knows nothing else."""
    for service in SERVICES:
        for job in tree.of(service, "Job"):
            ini = f"/app/services/{service.folder}/alembic.ini"
            if job.container["command"] != ["alembic", "-c", ini, "upgrade", "head"]:
                yield f"{job.where}: does not migrate {service.folder}"
            if not (ROOT / "services" / service.folder / "alembic.ini").is_file():
                yield f"{job.where}: services/{service.folder}/alembic.ini does not exist"
            names = [e["name"] for e in job.container["env"]]
            if names != ["DATABASE_OWNER_URL"] or "envFrom" in job.container:
                yield f"{job.where}: gets more or less than DATABASE_OWNER_URL"
            if job.pod.get("restartPolicy") not in ("Never", "OnFailure"):
                yield f"{job.where}: a job cannot restart for ever"


def processes(tree: Tree) -> Iterator[str]:
    """API and worker run the modules of their service; probes, container, Service and command agree on the port."""
    for service in SERVICES:
        by_name = {f.name: f for f in tree.of(service, "Deployment")}
        if len(by_name) != 2:
            continue
        api, worker = by_name.get(service.folder), by_name.get(f"{service.folder}-worker")
        if api is None or worker is None:
            continue
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
        if api.container["command"] != serve:
            yield f"{api.where}: the command does not serve {service.package} at {service.port}"
        if worker.container["command"] != ["python", "-m", f"{service.package}.worker"]:
            yield f"{worker.where}: the command does not run {service.package}.worker"
        named = {p["name"]: p["containerPort"] for p in api.container.get("ports", [])}
        if named != {"http": service.port}:
            yield f"{api.where}: the container's ports are {named}"
        for probe, path in (
            ("startupProbe", "/livez"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ):
            asked = api.container.get(probe, {}).get("httpGet", {})
            if (asked.get("path"), asked.get("port")) != (path, "http"):
                yield f"{api.where}: {probe} does not ask {path} at the port http"
        for found in tree.of(service, "Service"):
            port = found.manifest["spec"]["ports"][0]
            if (port["port"], port["targetPort"]) != (service.port, "http"):
                yield f"{found.where}: the Service does not lead to port {service.port}"


def doors(tree: Tree) -> Iterator[str]:
    """Every worker, and no API, has a door that probes ask; Prometheus is told the port of each and let in there."""
    for service in SERVICES:
        shared = _data(tree, "base/shared", "marketplace")
        for found in tree.of(service, "Deployment"):
            given = {e["name"]: e.get("value") for e in found.container.get("env", [])}
            named = {p["name"]: p["containerPort"] for p in found.container.get("ports", [])}
            if found.name == service.folder:
                port = service.port
                if "WORKER_PORT" in given:
                    yield f"{found.where}: WORKER_PORT is the worker's alone"
            else:
                port = WORKER_PORT
                open_to_all = shared.get("WORKER_HOST") == "0.0.0.0"
                if (given.get("WORKER_PORT"), named, open_to_all) != (str(port), {"door": port}, True):
                    yield f"{found.where}: has no door at {port}"
                for probe in ("startupProbe", "livenessProbe"):
                    if found.container.get(probe, {}).get("httpGet") != {"path": "/livez", "port": "door"}:
                        yield f"{found.where}: {probe} does not ask /livez at the door"
            told = found.manifest["spec"]["template"]["metadata"].get("annotations", {})
            wanted = {"scrape": "true", "port": str(port), "path": "/metrics"}
            if told != {f"prometheus.io/{name}": value for name, value in wanted.items()}:
                yield f"{found.where}: Prometheus is not told to ask /metrics at {port}"
        for found in tree.of(service, "NetworkPolicy"):
            asking = [
                rule["from"]
                for rule in found.manifest["spec"]["ingress"]
                if {"port": WORKER_PORT} in rule["ports"]
            ]
            monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
            if asking != [[monitoring]]:
                yield f"{found.where}: does not let Prometheus alone in at {WORKER_PORT}"


def _workload_labels(tree: Tree, service: Service) -> dict[str, dict[str, str]]:
    return {w.name: w.manifest["spec"]["template"]["metadata"]["labels"] for w in tree.workloads(service)}


def selectors(tree: Tree) -> Iterator[str]:
    """Whatever selects pods selects those of one workload of its own service."""
    for service in SERVICES:
        labels = _workload_labels(tree, service)
        selecting = [
            (f, f.name, f.manifest["spec"]["selector"]["matchLabels"]) for f in tree.of(service, "Deployment")
        ]
        selecting += [
            (f, service.folder, f.manifest["spec"]["selector"]) for f in tree.of(service, "Service")
        ]
        selecting += [
            (f, service.folder, f.manifest["spec"]["selector"]["matchLabels"])
            for f in tree.of(service, "PodDisruptionBudget")
        ]
        for found, meant, wanted in selecting:
            chosen = [name for name, own in labels.items() if wanted.items() <= own.items()]
            if chosen != [meant]:
                yield f"{found.where}: selects {chosen}"


def references(tree: Tree) -> Iterator[str]:
    """Each network policy covers every workload of its service, each autoscaler scales one that exists."""
    for service in SERVICES:
        labels = _workload_labels(tree, service)
        for found in tree.of(service, "NetworkPolicy"):
            wanted = found.manifest["spec"]["podSelector"]["matchLabels"]
            if not all(wanted.items() <= own.items() for own in labels.values()):
                yield f"{found.where}: leaves a workload of {service.folder} without a policy"
            if found.manifest["spec"]["ingress"][0]["ports"] != [{"port": service.port}]:
                yield f"{found.where}: does not let the gateway in at {service.port}"
        for found in tree.of(service, "HorizontalPodAutoscaler"):
            target = found.manifest["spec"]["scaleTargetRef"]["name"]
            if target not in labels:
                yield f"{found.where}: scales {target}, which does not exist"


def security(tree: Tree) -> Iterator[str]:
    """Every pod fits the restricted profile, writes nowhere but to /tmp, and has its own account and bounds."""
    for service in SERVICES:
        accounts = {f.name for f in tree.of(service, "ServiceAccount")}
        for workload in tree.workloads(service):
            pod, container = workload.pod, workload.container
            run_as, held = pod.get("securityContext", {}), container.get("securityContext", {})
            rules = {
                "may run as root": run_as.get("runAsNonRoot") is True and run_as.get("runAsUser", 0) > 0,
                "has no seccomp profile": run_as.get("seccompProfile") == {"type": "RuntimeDefault"},
                "may gain privileges": held.get("allowPrivilegeEscalation") is False,
                "can write to its own code": held.get("readOnlyRootFilesystem") is True,
                "keeps capabilities": held.get("capabilities") == {"drop": ["ALL"]},
                "has no ServiceAccount of its own": pod.get("serviceAccountName") in accounts,
                "carries an API token": pod.get("automountServiceAccountToken") is False,
                "has no memory limit": "memory" in container.get("resources", {}).get("limits", {}),
                "requests nothing": {"cpu", "memory"}
                <= set(container.get("resources", {}).get("requests", {})),
                "has an image of another service": container["image"] == f"marketplace/{service.folder}",
            }
            yield from (f"{workload.where}: {problem}" for problem, fine in rules.items() if not fine)


CHECKS: list[Callable[[Tree], Iterator[str]]] = [
    schemas, kustomizations, completeness, settings, migrations, processes, doors, selectors, references,
    security,
]  # fmt: skip


def findings(root: Path) -> list[str]:
    """Everything that is wrong."""
    tree = Tree.read(root)
    return [finding for check in CHECKS for finding in check(tree)]
