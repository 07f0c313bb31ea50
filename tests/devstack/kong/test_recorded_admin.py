"""The Admin API answers as a real Kong did."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Kong
from .recorded import body_shape, header_shape, load, needs_recordings, shape
from .support import Reply, send_raw

pytestmark = needs_recordings
PORTS: dict[str, str] = {}
BASICS = (
    "003-admin-plugins-enabled", "010-admin-service-create", "011-admin-service-create-duplicate",
    "012-admin-service-create-invalid", "013-admin-service-get", "014-admin-service-get-missing",
    "015-admin-service-patch", "016-admin-service-put-upsert", "018-admin-malformed-json",
    "019-admin-service-create-form", "020-admin-route-create", "021-admin-route-get",
    "022-admin-route-create-invalid", "040-admin-plugin-keyauth", "041-admin-plugin-acl",
    "042-admin-plugin-ratelimiting", "043-admin-plugin-cors", "044-admin-plugin-httplog",
    "045-admin-plugin-duplicate", "046-admin-plugin-unknown", "047-admin-plugin-invalid-config",
    "050-admin-consumer-create", "051-admin-keyauth-credential", "052-admin-acl-group", "053-admin-consumer-create-2",
    "054-admin-keyauth-credential-generated", "055-admin-keyauth-credential-bob", "056-admin-keyauth-credential-bob",
    "057-admin-keyauth-credential-duplicate",
)  # fmt: skip
ON_SERVICES = (
    "100-admin-plugin-rate-limiting-rlredis", "101-admin-plugin-rate-limiting-rlcluster",
    "102-admin-plugin-rate-limiting-rlhide", "103-admin-plugin-request-termination-term",
    "104-admin-plugin-correlation-id-corr", "105-admin-plugin-ip-restriction-ipr",
    "106-admin-plugin-request-size-limiting-size", "109-admin-plugin-request-transformer-rtx",
    "110-admin-plugin-response-transformer-rtx", "111-admin-plugin-pre-function-pre",
    "116-admin-plugin-key-auth-keyhide", "118-admin-plugin-prometheus-prom",
)  # fmt: skip


def same_members(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(member in right for member in left)


async def replay(kong: Kong, name: str) -> Reply:
    """Ask what was asked; the answer has the recorded status, headers and body."""
    recording = load(name)
    reply = await send_raw(kong.admin_port if recording.admin else kong.proxy_port, recording.raw(PORTS))
    assert reply.status == recording.status, (name, reply.body)
    assert body_shape(reply.body.decode(), {}) == body_shape(recording.answer, {}), name
    assert header_shape(reply.headers) == header_shape(recording.answer_headers), name
    return reply


async def test_services_routes_plugins_consumers_and_credentials(kong: Kong) -> None:
    for name in BASICS:
        await replay(kong, name)
    listed = load("058-admin-keyauths-list")
    reply = await send_raw(kong.admin_port, listed.raw(PORTS))
    assert same_members(shape(reply.json()["data"]), body_shape(listed.answer, {})["data"])


async def test_a_page_links_to_the_next(kong: Kong) -> None:
    for name in ("010-admin-service-create", "016-admin-service-put-upsert", "019-admin-service-create-form"):
        await replay(kong, name)
    recorded = load("017-admin-services-list")
    page = (await send_raw(kong.admin_port, recorded.raw(PORTS))).json()
    assert set(page) == {"data", "next", "offset"}
    assert shape(page["next"]) == body_shape(recorded.answer, {})["next"]
    assert page["data"][0].keys() == body_shape(recorded.answer, {})["data"][0].keys()


@pytest.mark.parametrize("name", ON_SERVICES)
async def test_plugin_configs_are_filled_with_defaults(kong: Kong, name: str) -> None:
    service = load(name).line.split("/")[2]
    await kong.must("POST", "/services", {"name": service, "url": "http://127.0.0.1:18080"})
    await replay(kong, name)


async def test_plugins_of_all_scopes(kong: Kong) -> None:
    await kong.must("POST", "/services", {"name": "anon", "url": "http://127.0.0.1:18080"})
    await kong.must("POST", "/consumers", {"username": "carol"})
    await replay(kong, "130-admin-plugin-keyauth-anonymous")
    await replay(kong, "131-admin-consumer-plugin-ratelimiting")
    await replay(kong, "142-admin-global-plugin")
    await kong.must("POST", "/consumers/carol/key-auth", {"key": "carol-key"})
    await replay(kong, "193-admin-consumer-keyauth-list")
    await replay(kong, "300-admin-global-httplog")


async def test_upstreams_and_targets(kong: Kong) -> None:
    await replay(kong, "139-admin-upstream-create")
    await replay(kong, "140-admin-target-create")
    await replay(kong, "141-admin-upstream-health")


async def test_tags(kong: Kong) -> None:
    for name in ("010-admin-service-create", "015-admin-service-patch", "019-admin-service-create-form"):
        await replay(kong, name)
    reply = await send_raw(kong.admin_port, load("138-admin-tags").raw(PORTS))
    recorded = body_shape(load("138-admin-tags").answer, {})
    assert same_members(shape(reply.json()["data"]), recorded["data"])


async def test_deletions_and_refusals(kong: Kong) -> None:
    await kong.route("plain", 18080)
    await kong.route("strip0", 18080)
    for name in (
        "194-admin-delete-route",
        "195-admin-delete-service-with-routes",
        "196-admin-delete-missing",
        "197-admin-options",
        "198-admin-no-such-endpoint",
        "199-admin-method-not-allowed",
    ):
        await replay(kong, name)


async def test_lists_of_everything_have_the_recorded_shape(kong: Kong) -> None:
    await kong.route("plain", 18080)
    await kong.plugin("/services/plain", "key-auth")
    for name, path in (("191-admin-services-list-all", "/services"), ("192-admin-plugins-list", "/plugins")):
        recorded = body_shape(load(name).answer, {})
        listed = await kong.must("GET", path)
        assert listed.keys() == recorded.keys()
        assert listed["data"][0].keys() == recorded["data"][0].keys()


async def test_status_has_the_members_that_clients_read(kong: Kong) -> None:
    recorded = body_shape(load("002-admin-status").answer, {})
    status = await kong.must("GET", "/status")
    assert status.keys() == recorded.keys()
    assert status["server"].keys() == recorded["server"].keys()
    assert status["database"] == recorded["database"]


async def test_every_endpoint_offered_is_one_of_kongs(kong: Kong) -> None:
    recorded = set(body_shape(load("137-admin-endpoints").answer, {})["data"])
    assert set((await kong.must("GET", "/endpoints"))["data"]) <= recorded


async def test_the_schema_of_a_plugin_is_the_recorded_one(kong: Kong) -> None:
    await replay(kong, "135-admin-schema-plugin-ratelimiting")
