"""What a client of the Admin API sends: JSON or a form."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from devstack.kong.admin.errors import Refused
from devstack.kong.fields import Json


def read_arguments(content_type: str, raw: bytes) -> Json:
    """The arguments in a request body."""
    if not raw.strip():
        return {}
    if "application/x-www-form-urlencoded" in content_type:
        return _form(raw.decode("utf-8", "replace"))
    if "json" not in content_type and content_type:
        raise Refused(415, {"message": "Unsupported Media Type"})
    try:
        parsed = json.loads(raw)
    except ValueError as error:
        raise Refused(400, {"message": "Cannot parse JSON body"}) from error
    if not isinstance(parsed, dict):
        raise Refused(400, {"message": "Cannot parse JSON body"})
    return parsed


def _form(raw: str) -> Json:
    """`tags[]=a`, `tags[1]=a`, `config.minute=5`: nested as Kong nests them, texts turned into what they look like."""
    out: Json = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        path = [step for step in re.split(r"\.", name) if step]
        if path:
            _place(out, path, _guess(value))
    return out


def _place(target: Json, path: list[str], value: Any) -> None:
    for step in path[:-1]:
        target = target.setdefault(step, {})
    last = path[-1]
    listed = re.fullmatch(r"(.+?)\[(\d*)\]", last)
    if listed:
        target.setdefault(listed[1], []).append(value)
    elif last in target:
        held = target[last]
        target[last] = [*held, value] if isinstance(held, list) else [held, value]
    else:
        target[last] = value


def _guess(value: str) -> Any:
    if value in ("true", "false"):
        return value == "true"
    if value == "":
        return None
    if re.fullmatch(r"-?\d{1,15}", value):
        return int(value)
    return float(value) if re.fullmatch(r"-?\d+\.\d+", value) else value
