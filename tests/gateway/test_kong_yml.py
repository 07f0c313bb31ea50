"""`gateway/kong.yml` is decK's format and holds the front door only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

FILE = Path(__file__).parents[2] / "gateway" / "kong.yml"
SERVICES = ("accounts", "catalog", "subscriptions", "billing", "metering", "kong-sync")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def test_it_is_decks_format_under_a_tag_of_its_own(document: dict[str, Any]) -> None:
    assert set(document) == {"_format_version", "_info", "services"}
    assert document["_format_version"] == "3.0"
    assert document["_info"] == {"select_tags": ["marketplace-front-door"]}


def test_each_service_has_one_route_below_platform(document: dict[str, Any]) -> None:
    *services, inside = document["services"]
    assert [s["name"] for s in services] == [f"platform.{name}" for name in SERVICES]
    for service, name in zip(services, SERVICES, strict=True):
        assert service["url"] == f'${{{{ env "DECK_{name.upper().replace("-", "_")}_URL" }}}}'
        (route,) = service["routes"]
        assert (route["paths"], route["strip_path"]) == ([f"/platform/{name}/"], True)
        assert {plugin["name"] for plugin in service["plugins"]} == {
            "cors",
            "rate-limiting",
            "request-size-limiting",
        }
    assert [plugin["name"] for plugin in inside["plugins"]] == ["request-termination"]


def test_every_entity_names_an_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [
        UUID(entity["id"])
        for service in document["services"]
        for entity in (service, *service["routes"], *service["plugins"])
    ]
    assert len(set(ids)) == len(ids) == 33


def test_its_variables_are_the_documented_ones() -> None:
    used = set(re.findall(r'env "(\w+)"', FILE.read_text(encoding="utf-8")))
    assert used == {f"DECK_{n.upper().replace('-', '_')}_URL" for n in SERVICES} | {"DECK_PORTAL_ORIGIN"}
