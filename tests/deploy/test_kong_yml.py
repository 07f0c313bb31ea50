"""gateway/kong.yml by a strict schema of decK's format, and its variables by those that kong-sync is given."""

from __future__ import annotations

import pytest
import yaml

from tests.deploy import deck
from tests.deploy.facts import ROOT, SERVICES, variables
from tests.deploy.kubernetes import Tree

TEXT = (ROOT / "gateway" / "kong.yml").read_text(encoding="utf-8")


def test_nothing_is_wrong_with_it() -> None:
    assert list(deck.findings(TEXT)) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('_format_version: "3.0"', '_format_version: "1.1"', "'3.0' was expected"),
        ("strip_path: true", "strip_paths: true", "'strip_paths' was unexpected"),
        ("retries: 1", "retries: many", "is not of type 'integer'"),
        ("name: cors", "name: http-log", "'http-log' is not one of"),
        ("services:\n", "consumers: []\nservices:\n", "'consumers' was unexpected"),
        ("id: 5e090466-f002-5438-b17d-12550d00fe23", "id: 5e090466", "does not match"),
        (
            "id: 5c243c76-0d21-594c-b21a-8e5e6db359d0",
            "id: 5e090466-f002-5438-b17d-12550d00fe23",
            "is used twice",
        ),
        (
            "name: platform.catalog\n    url",
            "name: platform.accounts\n    url",
            "name platform.accounts is used",
        ),
        ("- /platform/catalog/", "- /platform/accounts/", "the path /platform/accounts/ is used twice"),
        ("- /platform/catalog/", "- /platform/catalog", "the path /platform/catalog ends in no slash"),
        ('env "DECK_CATALOG_URL"', 'env "CATALOG_URL"', "CATALOG_URL does not begin with DECK_"),
    ],
)
def test_each_mistake_is_found(before: str, after: str, expected: str) -> None:
    assert before in TEXT
    found = list(deck.findings(TEXT.replace(before, after)))
    assert any(expected in finding for finding in found), found


def test_its_variables_are_settings_of_kong_sync_and_given_in_compose_and_kubernetes() -> None:
    wanted = deck.variables_of(TEXT)
    assert wanted == {name for name in variables("kong_sync") if name.startswith("DECK_")}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    given = compose["services"]["kong-sync"]["environment"]
    (config,) = [
        f for f in Tree.read(ROOT / "deploy/k8s").manifests("base/kong-sync") if f.kind == "ConfigMap"
    ]
    for service in SERVICES:
        name = f"DECK_{service.package.upper()}_URL"
        assert given[name] == f"http://{service.folder}:{service.port}"
        assert config.manifest["data"][name].endswith(f":{service.port}")
    assert wanted <= given.keys()
    assert wanted <= config.manifest["data"].keys()
