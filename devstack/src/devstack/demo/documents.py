"""Which calls an OpenAPI document allows, simply: enough to try a stranger's API through the proxy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

Operation = tuple[str, str, str | None]
SAMPLE: list[Operation] = [
    ("GET", "/currencies", None),
    ("GET", "/rates/EUR", None),
    ("GET", "/rates/EUR/USD?date=2026-01-30", None),
    ("POST", "/conversions", json.dumps({"from": "EUR", "to": "USD", "amount": "12.50"})),
]
_MOST = 12


def operations(document: Path | None) -> list[Operation]:
    """Some operations that need nothing but path parameters; the sample's own without a document."""
    if document is None:
        return SAMPLE
    parsed: dict[str, Any] = yaml.safe_load(document.read_text(encoding="utf-8"))
    found: list[Operation] = []
    for path, item in parsed.get("paths", {}).items():
        if "get" in item and not item["get"].get("requestBody"):
            found.append(("GET", re.sub(r"\{[^}]*\}", "1", path), None))
    if not found:
        raise ValueError(f"{document} has no GET operation to call.")
    return found[:_MOST]
