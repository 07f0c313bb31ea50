"""A node without a database answers as a real Kong did."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
import yaml

from devstack.kong.gateway import Gateway, Options

from .conftest import ENVIRONMENT, Kong
from .recorded import UPSTREAM, body_shape, header_shape, load, needs_recordings
from .support import Reply, TinyServer, send_raw

pytestmark = needs_recordings
LISTED = ("services", "routes", "consumers", "plugins", "acls")  # their ids come from their names


@pytest_asyncio.fixture
async def kong(tmp_path: Path, upstream: TinyServer) -> AsyncIterator[Kong]:
    """Started with what the recorded node was started with."""
    left = 60 - time.time() % 60
    if left < 8:  # the limits are per minute
        await asyncio.sleep(left)
    document = tmp_path / "kong.yml"
    later = json.loads(load("209-dbless-post-config").body)["config"]
    document.write_text(later.replace("/echo2", "/echo").replace(UPSTREAM, str(upstream.port)))
    options = Options(tmp_path / "kong", 0, 0, database=False, declarative_config=document, flush_seconds=0.2)
    gateway = Gateway(options, ENVIRONMENT)
    ports = await gateway.start()
    yield Kong(ports["admin"], ports["proxy"], gateway)
    await gateway.stop()


async def ask(kong: Kong, name: str, upstream: TinyServer) -> Reply:
    """What was asked, answered with the recorded status and headers."""
    recording = load(name)
    port = kong.admin_port if recording.admin else kong.proxy_port
    reply = await send_raw(port, recording.raw({UPSTREAM: str(upstream.port)}))
    assert reply.status == recording.status, (name, reply.body)
    assert header_shape(reply.headers) == header_shape(recording.answer_headers), name
    return reply


async def replay(kong: Kong, name: str, upstream: TinyServer) -> None:
    """The answer's body is the recorded one too."""
    reply = await ask(kong, name, upstream)
    text = reply.body.decode().replace(
        f'"X-Forwarded-Port", "{kong.proxy_port}"', '"X-Forwarded-Port", "18000"'
    )
    assert body_shape(text, {str(upstream.port): UPSTREAM}) == body_shape(load(name).answer, {}), name


def entities(document: dict[str, Any]) -> dict[str, Any]:
    """A document's entities by kind and id, comparable with another's."""
    return {
        kind: {entity["id"] if kind in LISTED else kind: comparable(entity) for entity in held}
        for kind, held in document.items()
        if isinstance(held, list)
    }


def comparable(entity: dict[str, Any]) -> Any:
    return body_shape(json.dumps(entity), {})


async def test_what_a_document_says_is_served_and_shown(kong: Kong, upstream: TinyServer) -> None:
    status = (await ask(kong, "201-dbless-status", upstream)).json()
    recorded = json.loads(load("201-dbless-status").answer)
    assert status.keys() == recorded.keys()
    assert (status["server"].keys(), len(status["configuration_hash"])) == (recorded["server"].keys(), 32)
    for name in (
        "202-dbless-services",
        "203-dbless-consumers",
        "204-dbless-write-405",
        "206-dbless-proxy-401",
    ):
        await replay(kong, name, upstream)
    shown = (
        (await ask(kong, "205-dbless-get-config", upstream))
        .json()["config"]
        .replace(str(upstream.port), UPSTREAM)
    )
    told = json.loads(load("205-dbless-get-config").answer)["config"]
    assert entities(yaml.safe_load(shown)) == entities(yaml.safe_load(told))


async def test_a_new_document_replaces_the_old_and_keeps_the_counters(
    kong: Kong, upstream: TinyServer
) -> None:
    for count in (1, 2, 3):
        await replay(kong, f"207-dbless-proxy-key-{count}", upstream)
    await replay(kong, "208-dbless-post-config-bad", upstream)
    loaded = (await ask(kong, "209-dbless-post-config", upstream)).json()
    recorded = json.loads(load("209-dbless-post-config").answer)
    for kind in LISTED:
        assert loaded[kind].keys() == recorded[kind].keys(), kind
    back = {str(upstream.port): UPSTREAM}
    assert body_shape(json.dumps(loaded), back) == body_shape(json.dumps(recorded), {})
    await replay(kong, "210-dbless-post-config-same", upstream)
    await replay(kong, "211-dbless-proxy-new-path", upstream)
    await replay(kong, "212-dbless-proxy-old-path", upstream)
