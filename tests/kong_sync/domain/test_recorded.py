"""What a real Kong returned for what it was sent is no difference: defaults, nulls and orders are its own affair."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kong_sync.domain.canonical import differences
from kong_sync.domain.entities import Concern, Entity, Kind, Owner

FOLDER = os.environ.get("MARKETPLACE_KONG_RECORDINGS")  # noqa: TID251 - tests may read recordings
pytestmark = pytest.mark.skipif(not FOLDER, reason="MARKETPLACE_KONG_RECORDINGS names no folder")


def written() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each accepted write to the Admin API: its name, what was sent, what came back."""
    found = []
    for path in sorted(Path(FOLDER or ".").glob("**/*-admin-*.json")):
        recorded = json.loads(path.read_text(encoding="utf-8"))
        request, response = recorded["request"], recorded["response"]
        if response["status"] not in {200, 201} or not request["body"].startswith("{"):
            continue
        if (recorded.get("note") or "").startswith("PUT by a name"):
            continue  # Kong takes the name in the address for the key; we address by id only
        sent = {name: value for name, value in json.loads(request["body"]).items() if name != "url"}
        found.append((recorded["name"], sent, response["body_json"]))
    return found


@pytest.mark.parametrize(("name", "sent", "returned"), written() if FOLDER else [])
def test_what_kong_returns_is_what_we_sent(name: str, sent: dict[str, Any], returned: dict[str, Any]) -> None:
    entity = Entity(Kind.PLUGIN, str(returned["id"]), Owner(Concern.PLATFORM), sent)
    assert differences(entity, returned) == ()
