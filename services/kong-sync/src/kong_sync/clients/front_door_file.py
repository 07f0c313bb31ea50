"""`gateway/kong.yml`: decK's format, with its variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kong_sync.domain.errors import FrontDoorInvalid

_VARIABLE = re.compile(r'\$\{\{\s*env\s+"(DECK_[A-Z0-9_]+)"\s*\}\}')


def read_front_door(path: Path, values: Mapping[str, str]) -> dict[str, Any]:
    """The document with each `${{ env "NAME" }}` replaced by its value; FrontDoorInvalid when one has none."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            raise FrontDoorInvalid(
                f"{path.name} asks for {name}, which is not one of: {', '.join(sorted(values))}."
            )
        return values[name]

    text = path.read_text(encoding="utf-8")
    lines = (
        line if line.lstrip().startswith("#") else _VARIABLE.sub(value, line) for line in text.splitlines()
    )
    document = yaml.safe_load("\n".join(lines))
    if not isinstance(document, dict):
        raise FrontDoorInvalid(f"{path.name} is not a YAML mapping.")
    return document
