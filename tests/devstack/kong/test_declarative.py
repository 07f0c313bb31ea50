"""The configuration as one document, where there is no database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from devstack.kong.gateway import Gateway, Options

from .conftest import ENVIRONMENT, Kong
from .support import TinyServer, send


@pytest_asyncio.fixture
async def kong(tmp_path: Path) -> AsyncIterator[Kong]:
    gateway = Gateway(Options(tmp_path / "kong", 0, 0, database=False, flush_seconds=0.2), ENVIRONMENT)
    ports = await gateway.start()
    yield Kong(ports["admin"], ports["proxy"], gateway)
    await gateway.stop()


def a_document(upstream: int = 9, **more: Any) -> dict[str, Any]:
    service = {"name": "echo", "host": "pool", "routes": [{"name": "echo-r", "paths": ["/echo"]}]}
    pool = {"name": "pool", "targets": [{"target": f"127.0.0.1:{upstream}"}]}
    return {"_format_version": "3.0", "services": [service], "upstreams": [pool]} | more


async def load(kong: Kong, document: dict[str, Any]) -> Any:
    return await kong.must("POST", "/config", {"config": yaml.safe_dump(document)})


async def test_what_was_exported_can_be_loaded_again(kong: Kong, upstream: TinyServer) -> None:
    consumer = {"username": "alice", "keyauth_credentials": [{"key": "k"}], "acls": [{"group": "gold"}]}
    plugins = [
        {"name": "key-auth", "service": "echo"},
        {"name": "rate-limiting", "consumer": {"username": "alice"}, "config": {"minute": 5}},
    ]
    await load(kong, a_document(upstream.port, consumers=[consumer], plugins=plugins))
    assert (await kong.get("/echo/x")).status == 401
    assert (await kong.get("/echo/x", apikey="k")).header("X-RateLimit-Limit-Minute") == "5"
    exported = (await kong.must("GET", "/config"))["config"]
    again = await kong.must("POST", "/config", {"config": exported})
    assert sorted(again) == sorted(
        kind for kind, held in yaml.safe_load(exported).items() if isinstance(held, list)
    )
    assert (await kong.get("/echo/x", apikey="k")).status == 200


async def test_ids_come_from_names_and_stay(kong: Kong) -> None:
    first = await load(kong, a_document())
    second = await load(kong, a_document(plugins=[{"name": "cors"}]))
    for kind in ("services", "routes", "upstreams", "targets"):
        assert first[kind].keys() == second[kind].keys()


async def test_the_document_may_be_the_body_itself_or_a_form(kong: Kong) -> None:
    assert "services" in await kong.must("POST", "/config", a_document())
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = "config=" + json.dumps(a_document(services=[]))
    assert (await send(kong.admin_port, "POST", "/config", headers=form, body=body)).status == 201
    assert (await kong.must("GET", "/services"))["data"] == []
    assert (await kong.admin("POST", "/config", {})).status == 400


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"_format_version": "9"}, {"_format_version": "expected one of: 1.1, 2.1, 3.0"}),
        ({"things": []}, {"things": "unknown field"}),
        ({"services": {}}, {"services": "expected an array"}),
        (
            {"services": [{"host": "h"}, {"name": "b"}]},
            {"services": [None, {"host": "required field missing"}]},
        ),
        (
            {"services": [{"host": "h", "routes": [{"paths": ["/a"], "strip_path": "no"}]}]},
            {"services": [{"routes": [{"strip_path": "expected a boolean"}]}]},
        ),
        (
            {"routes": [{"paths": ["/a"], "service": "nope"}]},
            {"routes": [{"@entity": ["invalid reference 'service: nope' (no such entry in 'services')"]}]},
        ),
    ],
)
async def test_a_wrong_document_changes_nothing_and_says_where_it_is_wrong(
    kong: Kong, change: dict[str, Any], fields: dict[str, Any]
) -> None:
    await load(kong, a_document())
    reply = await kong.admin("POST", "/config", {"config": yaml.safe_dump(a_document() | change)})
    assert (reply.status, reply.json()["code"], reply.json()["fields"]) == (400, 14, fields)
    assert [service["name"] for service in (await kong.must("GET", "/services"))["data"]] == ["echo"]


async def test_two_entities_cannot_claim_one_name(kong: Kong) -> None:
    await load(kong, a_document())
    twice = [{"key": "k"}]
    consumers = [{"username": name, "keyauth_credentials": twice} for name in ("a", "b")]
    reply = await kong.admin("POST", "/config", {"config": yaml.safe_dump(a_document(consumers=consumers))})
    assert (reply.status, "uniqueness violation" in reply.json()["message"]) == (400, True)
    assert (await kong.must("GET", "/consumers"))["data"] == []


async def test_nothing_else_changes_the_configuration(kong: Kong) -> None:
    await load(kong, a_document())
    for method, path, operation in (
        ("POST", "/services", "create"),
        ("PATCH", "/services/echo", "update"),
        ("PUT", "/services/new", "create or update"),
        ("DELETE", "/routes/echo-r", "remove"),
    ):
        reply = await kong.admin(method, path, {"host": "h"})
        assert (reply.status, reply.json()["code"]) == (405, 12)
        assert reply.json()["message"].startswith(f"cannot {operation} '")
    root = await kong.must("GET", "/")
    assert root["configuration"]["database"] == "off"
