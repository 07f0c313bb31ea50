"""The Admin API, as far as kong-sync relies on it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kong_contract.corner import Corner

NOWHERE = {"protocol": "http", "host": "127.0.0.1", "port": 9, "path": None}
FIELD_OF = {"services": "name", "routes": "name", "consumers": "username"}


async def a_service(corner: Corner, word: str = "service", **fields: Any) -> dict[str, Any]:
    body = {"name": f"{corner.name}.{word}", **NOWHERE, **fields}
    return await corner.must("PUT", f"/services/{corner.id(word)}", body)


async def a_consumer(corner: Corner, word: str = "consumer", **fields: Any) -> dict[str, Any]:
    body = {"username": f"{corner.name}.{word}", **fields}
    return await corner.must("PUT", f"/consumers/{corner.id(word)}", body)


def a_route(corner: Corner, service: str, word: str = "route") -> dict[str, Any]:
    return {"name": f"{corner.name}.{word}", "paths": [f"/{corner.name}/"], "service": {"id": service}}


async def refused(
    corner: Corner, method: str, path: str, body: dict[str, Any] | None = None
) -> tuple[int, int, dict[str, Any]]:
    """Status, Kong's error code and the `fields` of a refusal."""
    answer = await corner.ask(method, path, body)
    assert not answer.is_success, answer.text
    said = answer.json()
    assert isinstance(said["message"], str)
    return answer.status_code, said["code"], said["fields"]


async def test_a_put_by_id_creates_repeats_and_updates(corner: Corner) -> None:
    created = await a_service(corner, retries=1, connect_timeout=5_000)
    assert (created["id"], created["retries"]) == (corner.id("service"), 1)
    again = await a_service(corner, retries=1, connect_timeout=5_000)
    unchanged = {name: value for name, value in again.items() if name != "updated_at"}
    assert unchanged == {name: value for name, value in created.items() if name != "updated_at"}
    updated = await a_service(corner, connect_timeout=4_000)
    # what is not named goes back to Kong's default
    assert (updated["retries"], updated["connect_timeout"]) == (5, 4_000)
    assert updated["created_at"] == created["created_at"]
    assert await corner.must("GET", f"/services/{created['id']}") == updated


async def test_every_kind_is_put_by_id_and_listed_with_its_tags(corner: Corner) -> None:
    service, consumer = (
        (await a_service(corner))["id"],
        (await a_consumer(corner, custom_id=corner.id("x")))["id"],
    )
    await corner.must("PUT", f"/routes/{corner.id('route')}", a_route(corner, service))
    plugin = {"name": "key-auth", "service": {"id": service}, "config": {"key_names": ["x-api-key"]}}
    await corner.must("PUT", f"/plugins/{corner.id('plugin')}", plugin)
    await corner.must("PUT", f"/consumers/{consumer}/acls/{corner.id('acl')}", {"group": corner.name})
    digest = corner.name.ljust(64, "0")
    await corner.must("PUT", f"/consumers/{consumer}/key-auth/{corner.id('credential')}", {"key": digest})
    words = {
        "services": "service", "routes": "route", "plugins": "plugin", "consumers": "consumer", "acls": "acl",
        "key-auths": "credential",
    }  # fmt: skip
    for kind, word in words.items():
        (found,) = await corner.listed(kind)
        assert (found["id"], found["tags"]) == (corner.id(word), [corner.tag])
    (acl,), (credential,) = await corner.listed("acls"), await corner.listed("key-auths")
    assert acl["consumer"] == credential["consumer"] == {"id": consumer}
    assert (acl["group"], credential["key"]) == (corner.name, digest)


async def test_a_plugins_config_comes_back_with_defaults_and_keeps_what_was_set(corner: Corner) -> None:
    consumer = (await a_consumer(corner))["id"]
    windows = {**dict.fromkeys(("second", "hour", "day", "month", "year")), "minute": 60}
    config = {**windows, "limit_by": "consumer", "policy": "local", "fault_tolerant": True}
    body = {"name": "rate-limiting", "enabled": True, "config": config, "consumer": {"id": consumer}}
    plugin = await corner.must("PUT", f"/plugins/{corner.id('limits')}", body)
    assert {name: plugin["config"][name] for name in config} == config
    assert len(plugin["config"]) > len(config)
    assert (plugin["consumer"], plugin["service"], plugin["route"]) == ({"id": consumer}, None, None)


async def test_tags_filter_and_pages_reach_everything_once(corner: Corner) -> None:
    for number in range(7):
        await a_consumer(corner, f"c{number}", tags=[f"{corner.name}-odd:{number % 2}"])
    odd = await corner.listed("consumers", f"{corner.tag},{corner.name}-odd:1", size=2)
    assert sorted(one["id"] for one in odd) == sorted(corner.id(f"c{number}") for number in (1, 3, 5))
    either = await corner.listed("consumers", f"{corner.name}-odd:0/{corner.name}-odd:1", size=3)
    assert len(either) == 7
    assert await corner.listed("consumers", f"{corner.tag},{corner.name}-never") == []


async def test_a_credential_put_under_another_consumer_moves_there(corner: Corner) -> None:
    alice, dead = [(await a_consumer(corner, word))["id"] for word in ("alice", "dead")]
    credential, key = corner.id("credential"), corner.name.ljust(64, "0")
    for consumer in (alice, dead):
        await corner.must("PUT", f"/consumers/{consumer}/key-auth/{credential}", {"key": key})
    (moved,) = await corner.listed("key-auths")
    assert (moved["id"], moved["consumer"]) == (credential, {"id": dead})


@pytest.mark.parametrize("kind", ["services", "routes", "consumers"])
async def test_a_name_is_taken_once(corner: Corner, kind: str) -> None:
    service = (await a_service(corner, "owner"))["id"]
    field = FIELD_OF[kind]
    bodies: dict[str, dict[str, Any]] = {
        "services": NOWHERE,
        "routes": {"paths": ["/"], "service": {"id": service}, "hosts": [f"{corner.name}.example"]},
        "consumers": {},
    }
    body = {**bodies[kind], field: f"{corner.name}.taken"}
    await corner.must("PUT", f"/{kind}/{corner.id('first')}", body)
    status, code, fields = await refused(corner, "PUT", f"/{kind}/{corner.id('second')}", body)
    assert (status, code, fields) == (409, 5, {field: f"{corner.name}.taken"})


async def test_a_key_a_custom_id_and_a_plugins_place_are_taken_once(corner: Corner) -> None:
    alice, bob = [
        (await a_consumer(corner, word, custom_id=corner.id(word)))["id"] for word in ("alice", "bob")
    ]
    key = {"key": corner.name.ljust(64, "0")}
    await corner.must("PUT", f"/consumers/{alice}/key-auth/{corner.id('one')}", key)
    refusal = await refused(corner, "PUT", f"/consumers/{bob}/key-auth/{corner.id('two')}", key)
    assert refusal == (409, 5, key)

    same = {"username": f"{corner.name}.carol", "custom_id": corner.id("alice")}
    refusal = await refused(corner, "PUT", f"/consumers/{corner.id('carol')}", same)
    assert refusal == (409, 5, {"custom_id": corner.id("alice")})

    plugin = {"name": "rate-limiting", "config": {"minute": 1}, "consumer": {"id": alice}}
    await corner.must("PUT", f"/plugins/{corner.id('p1')}", plugin)
    status, code, fields = await refused(corner, "PUT", f"/plugins/{corner.id('p2')}", plugin)
    assert (status, code, fields["name"], fields["consumer"]) == (409, 5, "rate-limiting", {"id": alice})


async def test_what_an_entity_hangs_on_must_exist(corner: Corner) -> None:
    nobody = corner.id("nobody")
    status, code, _ = await refused(corner, "PUT", f"/routes/{corner.id('route')}", a_route(corner, nobody))
    assert (status, code) == (400, 4)
    plugin = {"name": "acl", "config": {"allow": ["x"]}, "service": {"id": nobody}}
    status, code, _ = await refused(corner, "PUT", f"/plugins/{corner.id('plugin')}", plugin)
    assert (status, code) == (400, 4)
    for nested, body in (("acls", {"group": "x"}), ("key-auth", {"key": corner.name})):
        answer = await corner.ask("PUT", f"/consumers/{nobody}/{nested}/{corner.id(nested)}", body)
        assert answer.status_code == 404, answer.text
    assert await corner.leftovers() == []


@pytest.mark.parametrize(
    ("kind", "body", "fields"),
    [
        ("services", {"name": "with space", "host": "a.example"}, {"name"}),
        ("services", {"protocol": "http", "path": "no-slash"}, {"host", "path"}),
        ("services", {"host": "a.example", "retries": 40_000}, {"retries"}),
        ("routes", {"protocols": ["http", "https"]}, {"@entity"}),
        ("consumers", {"tags": ["x"]}, {"@entity"}),
        ("plugins", {"name": "rate-limiting", "config": {"minute": "x"}}, {"config"}),
        ("plugins", {"name": "rate-limiting", "config": {"minute": 10, "hour": 5}}, {"config"}),
        ("plugins", {"name": "key-auth", "config": {"nope": 1}}, {"config"}),
        ("plugins", {"name": "pre-function", "config": {"access": ["this is no Lua"]}}, {"config"}),
        ("plugins", {"name": "no-such-plugin"}, {"name"}),
    ],
)
async def test_what_is_wrong_is_named_field_by_field(
    corner: Corner, kind: str, body: dict[str, Any], fields: set[str]
) -> None:
    if kind == "plugins":  # never a global one: other people use this Kong
        body = {**body, "service": {"id": (await a_service(corner))["id"]}}
    status, code, said = await refused(corner, "PUT", f"/{kind}/{corner.id('wrong')}", body)
    assert (status, code, set(said)) == (400, 2, fields)


async def test_a_consumer_takes_with_it_all_that_hangs_on_it(corner: Corner) -> None:
    consumer = (await a_consumer(corner))["id"]
    await corner.must("PUT", f"/consumers/{consumer}/acls/{corner.id('acl')}", {"group": corner.name})
    await corner.must("PUT", f"/consumers/{consumer}/key-auth/{corner.id('key')}", {"key": corner.name})
    plugin = {"name": "rate-limiting", "config": {"minute": 1}, "consumer": {"id": consumer}}
    await corner.must("PUT", f"/plugins/{corner.id('plugin')}", plugin)
    assert len(await corner.leftovers()) == 4
    assert (await corner.ask("DELETE", f"/consumers/{consumer}")).status_code == 204
    assert await corner.leftovers() == []
    assert (await corner.ask("DELETE", f"/consumers/{consumer}")).status_code == 204  # may be repeated


async def test_a_service_takes_its_plugins_with_it_and_stays_while_a_route_leads_to_it(
    corner: Corner,
) -> None:
    service = (await a_service(corner))["id"]
    await corner.must("PUT", f"/routes/{corner.id('route')}", a_route(corner, service))
    plugin = {"name": "acl", "config": {"allow": [corner.name]}, "service": {"id": service}}
    await corner.must("PUT", f"/plugins/{corner.id('plugin')}", plugin)
    status, code, fields = await refused(corner, "DELETE", f"/services/{service}")
    assert (status, code, fields) == (400, 4, {"@referenced_by": "routes"})
    assert (await corner.ask("DELETE", f"/routes/{corner.id('route')}")).status_code == 204
    assert (await corner.ask("DELETE", f"/services/{service}")).status_code == 204
    assert await corner.leftovers() == []


async def test_a_corner_that_is_left_is_empty_and_its_neighbour_is_not_touched(corner: Corner) -> None:
    neighbour = Corner(corner.target)
    for one in (corner, neighbour):
        service = (await a_service(one))["id"]
        await one.must("PUT", f"/routes/{one.id('route')}", a_route(one, service))
        await a_consumer(one)
    await neighbour.leave()
    assert len(await corner.leftovers()) == 3
    assert await corner.listed("services", neighbour.tag) == []
