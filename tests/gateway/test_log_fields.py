"""The key and the query stand in many places of a log entry: each is dropped at the source."""

from __future__ import annotations

import json

import pytest

from tests.gateway.pdk import ALLOWED_REQUIRES, LUA, Exchange

FIELDS: dict[str, str] = json.loads((LUA / "log_fields.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "field",
    [
        "request.uri",
        "request.url",
        "request.querystring",
        "upstream_uri",
        "request.headers",
        "response.headers",
    ],
)
def test_a_place_where_secrets_stand_is_dropped(field: str) -> None:
    assert Exchange().expression(FIELDS[field]) is None


def test_the_path_is_logged_without_its_query() -> None:
    assert Exchange().expression(FIELDS["request.path"]) == "/v1/things"


def test_only_modules_that_the_gateway_is_started_with_are_required() -> None:
    required = {
        part.strip('(" )').split('"')[0].strip()
        for path in LUA.glob("*.lua")
        for part in path.read_text(encoding="utf-8").split("require")[1:]
        if part.lstrip("( ").startswith('"')
    }
    assert required <= ALLOWED_REQUIRES
