"""Operators' alert rules: that they name what is measured, are wired up, and fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import devstack.kong.metrics
from accounts.domain.notification import Outcome as MailOutcome
from kong_sync.domain.report import Outcome as PassOutcome
from tests.deploy.facts import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
PROMTOOL = shutil.which("promtool")
_METRIC = re.compile(r"\b(?:up|(?:kong|metering|billing|accounts|marketplace|catalog|subscriptions)_\w+)\b")
_MATCHER = re.compile(r"(\w+)=~?\"([^\"]*)\"")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in load(path)["groups"] for rule in group["rules"]]


def cases() -> list[dict[str, Any]]:
    return [case for path in UNIT_TESTS for case in load(path)["tests"]]


def measured() -> set[str]:
    """Every name that is scraped: of the services, of Kong (as the double shows them), and Prometheus' own."""
    table = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    names = set(re.findall(r"(?m)^\| `(\w+)`", table))
    histograms = set(re.findall(r"(?m)^\| `(\w+)` \| histogram", table))
    kong = Path(devstack.kong.metrics.__file__).read_text(encoding="utf-8")
    names |= set(re.findall(r"\"(kong_\w+)\"", kong))
    histograms |= set(re.findall(r"\"(kong_\w+_latency_ms)\"", kong))
    return names | {"up"} | {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}


def named(expression: str) -> set[str]:
    return set(_METRIC.findall(re.sub(r"\{[^}]*\}", "", expression)))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_names_only_what_is_measured_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert named(rule["expr"])
    assert named(rule["expr"]) <= measured()
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "action"}


def test_a_metric_that_nobody_measures_is_seen() -> None:
    assert named("max(metering_haltd) > 0") == {"metering_haltd"}
    assert "metering_haltd" not in measured()
    assert {"kong_kong_latency_ms_bucket", "metering_halted", "kong_http_requests_total"} <= measured()


def test_the_outcomes_that_rules_ask_for_exist() -> None:
    asked = {
        (metric, outcome)
        for rule in rules()
        for metric, labels in re.findall(r"(\w+)\{([^}]*)\}", rule["expr"])
        for name, values in _MATCHER.findall(labels)
        if name == "outcome"
        for outcome in values.split("|")
    }
    known = {("kong_sync_passes_total", str(o)) for o in PassOutcome}
    known |= {("accounts_mails_total", str(o)) for o in MailOutcome} | {("accounts_mails_total", "put_off")}
    known |= {("metering_gateway_readings_total", outcome) for outcome in ("taken", "failed")}
    assert asked
    assert asked <= known


def test_each_rule_is_seen_to_fire_and_seen_to_be_quiet() -> None:
    fires: set[str] = set()
    quiet: set[str] = set()
    for case in cases():
        for test in case.get("alert_rule_test", []):
            (fires if test["exp_alerts"] else quiet).add(test["alertname"])
        for test in case.get("promql_expr_test", []):
            fires |= {re.findall(r'alertname="(\w+)"', sample["labels"])[0] for sample in test["exp_samples"]}
    names = {rule["alert"] for rule in rules()}
    assert (fires, quiet) == (names, names)


def test_each_rule_is_a_rule_of_its_own() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_prometheus_reads_the_rules_where_compose_puts_them() -> None:
    [pattern] = load(PROMETHEUS / "prometheus.yml")["rule_files"]
    mounts = load(ROOT / "docker-compose.yml")["services"]["prometheus"]["volumes"]
    places = dict(mount.split(":")[:2] for mount in mounts)
    assert places["./deploy/prometheus/rules"] == str(Path(pattern).parent)
    assert {path.name for path in RULES} == {p.name for p in (PROMETHEUS / "rules").glob(Path(pattern).name)}


def test_what_fires_reaches_somebody_by_a_server_that_compose_runs() -> None:
    config = load(ROOT / "deploy" / "alertmanager" / "alertmanager.yml")
    compose = load(ROOT / "docker-compose.yml")["services"]
    [targets] = [
        group["targets"]
        for manager in load(PROMETHEUS / "prometheus.yml")["alerting"]["alertmanagers"]
        for group in manager["static_configs"]
    ]
    assert [target.split(":")[0] for target in targets] == ["alertmanager"]
    assert targets[0].split(":")[1] in compose["alertmanager"]["ports"][0].split(":")
    assert config["global"]["smtp_smarthost"].split(":")[0] in compose
    receivers = {receiver["name"]: receiver["email_configs"] for receiver in config["receivers"]}
    taken = {
        matcher: route["receiver"] for route in config["route"]["routes"] for matcher in route["matchers"]
    }
    assert all(receivers[name] for name in (config["route"]["receiver"], *taken.values()))
    severities = {rule["labels"]["severity"] for rule in rules()}
    named_in_routes = {re.sub(r'severity="(\w+)"', r"\1", matcher) for matcher in taken}
    assert severities == named_in_routes | {config["route"]["receiver"]}


def test_what_is_held_back_for_another_alert_are_alerts_of_ours() -> None:
    config = load(ROOT / "deploy" / "alertmanager" / "alertmanager.yml")
    held = [
        name
        for rule in config["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
        for name in re.findall(r"[A-Z]\w+", matcher)
    ]
    assert set(held) <= {rule["alert"] for rule in rules()}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on PATH: the rules are not evaluated")
@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.name)
def test_the_rules_fire_when_they_should(path: Path) -> None:
    run = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on PATH: the rules are not evaluated")
def test_a_threshold_that_is_moved_is_seen(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(PROMETHEUS, tmp_path / "prometheus"))
    moved = copy / "rules" / "gateway.yml"
    moved.write_text(
        moved.read_text(encoding="utf-8").replace("[5m])) > 2\n", "[5m])) > 4\n"), encoding="utf-8"
    )
    assert moved.read_text(encoding="utf-8") != (PROMETHEUS / "rules" / "gateway.yml").read_text(
        encoding="utf-8"
    )
    run = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(copy / "tests" / "gateway.yml")],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode != 0
