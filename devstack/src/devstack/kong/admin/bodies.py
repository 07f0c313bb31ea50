"""What a client of the Admin API sends: JSON or a form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qsl

from devstack.kong.admin.errors import Refused
from devstack.kong.fields import Json

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def is_form(content_type: str) -> bool:
    """Whether all values are texts, to be read as the schema wants them."""
    return content_type.startswith(_FORMS)


def read_arguments(content_type: str, raw: bytes) -> Json:
    """The arguments in a request body."""
    if not raw.strip():
        return {}
    if is_form(content_type):
        multipart = content_type.startswith("multipart/")
        return _nested(
            _parts(content_type, raw)
            if multipart
            else parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
        )
    if "json" not in content_type and content_type:
        raise Refused(415, {"message": "Unsupported Media Type"})
    try:
        parsed = json.loads(raw)
    except ValueError as error:
        raise Refused(400, {"message": "Cannot parse JSON body"}) from error
    if not isinstance(parsed, dict):
        raise Refused(400, {"message": "Cannot parse JSON body"})
    return parsed


def _parts(content_type: str, raw: bytes) -> Iterator[tuple[str, str]]:
    message = message_from_bytes(b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + raw)
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            yield name, content.decode("utf-8", "replace")


def _nested(pairs: Iterable[tuple[str, str]]) -> Json:
    """`tags[]=a`, `tags[1]=a`, `config.minute=5`: nested as Kong nests them."""
    out: Json = {}
    for name, value in pairs:
        path = [step for step in name.split(".") if step]
        if path:
            _place(out, path, value)
    return out


def _place(target: Json, path: list[str], value: Any) -> None:
    for step in path[:-1]:
        inner = target.setdefault(step, {})
        if not isinstance(inner, dict):  # `a=1&a.b=2`: the later one stands
            inner = target[step] = {}
        target = inner
    last = path[-1]
    listed = re.fullmatch(r"(.+?)\[(\d*)\]", last)
    if listed:
        held = target.setdefault(listed[1], [])
        target[listed[1]] = [*(held if isinstance(held, list) else [held]), value]
    elif last in target:
        held = target[last]
        target[last] = [*held, value] if isinstance(held, list) else [held, value]
    else:
        target[last] = value
