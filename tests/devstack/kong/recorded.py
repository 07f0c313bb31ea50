"""Recorded exchanges of a real Kong, and what may differ between two runs of the same exchange."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FOLDER = os.environ.get("MARKETPLACE_KONG_RECORDINGS", "")  # noqa: TID251
needs_recordings = pytest.mark.skipif(not FOLDER, reason="MARKETPLACE_KONG_RECORDINGS is not set")
UPSTREAM, SINK, REDIS = "18080", "18081", "6399"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = re.compile(r"\b[0-9a-f]{32}\b")
# Values that are another every time; their presence is compared.
VARYING = {
    "date", "x-kong-upstream-latency", "x-kong-proxy-latency", "x-kong-response-latency", "x-kong-admin-latency",
    "x-kong-request-id", "ratelimit-reset", "retry-after", "x-correlation", "content-length",
}  # fmt: skip


@dataclass(frozen=True)
class Recording:
    name: str
    line: str
    headers: list[tuple[str, str]]
    body: str
    admin: bool
    status: int
    answer_headers: list[tuple[str, str]]
    answer: str

    def raw(self, ports: dict[str, str]) -> bytes:
        """The request as bytes, its upstreams moved to where they now listen."""
        body = swap(self.body, ports)
        headers = [(n, str(len(body)) if n.lower() == "content-length" else v) for n, v in self.headers]
        head = self.line + "\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
        return (head + "\r\n" + body).encode("latin-1")


def load(name: str) -> Recording:
    held = json.loads((Path(FOLDER) / f"{name}.json").read_text())
    asked, answered = held["request"], held["response"]
    return Recording(
        name=name,
        line=asked["line"],
        headers=[(n, v) for n, v in asked["headers"]],
        body=asked["body"] or "",
        admin=asked.get("port") == "admin",
        status=answered["status"],
        answer_headers=[(n, v) for n, v in answered["headers"]],
        answer=answered["body"] or "",
    )


def names() -> list[str]:
    return sorted(path.stem for path in Path(FOLDER).glob("*.json"))


def swap(text: str, ports: dict[str, str]) -> str:
    for recorded, present in ports.items():
        text = text.replace(recorded, present)
    return text


def shape(value: Any) -> Any:
    """A value with ids, times and made-up keys taken out."""
    if isinstance(value, dict):
        return {shape(key): shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, float | int) and not isinstance(value, bool) and value > 1_700_000_000:
        return "<time>"
    if isinstance(value, str):
        text = _HEX.sub("<hex>", _UUID.sub("<uuid>", value))
        text = re.sub(r"offset=[^&]+", "offset=<offset>", text)
        return "<key>" if re.fullmatch(r"[A-Za-z0-9]{32}|Wy[A-Za-z0-9]+", text) else text
    return value


def body_shape(text: str, back: dict[str, str]) -> Any:
    text = swap(text, back)
    try:
        return shape(json.loads(text))
    except ValueError:
        return shape(text)


def header_shape(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {n.lower(): "<varies>" if n.lower() in VARYING else shape(v) for n, v in headers}
