"""The Admin API's rules, without recordings."""

from __future__ import annotations

import uuid

import pytest

from .conftest import Kong
from .support import send

PLAIN = {"name": "plain", "url": "http://127.0.0.1:9"}


async def test_put_creates_and_puts_what_is_not_named_back_to_its_default(kong: Kong) -> None:
    key = str(uuid.uuid4())  # noqa: TID251
    created = await kong.must("PUT", f"/services/{key}", PLAIN | {"retries": 1, "tags": ["a"]})
    again = await kong.must("PUT", f"/services/{key}", PLAIN)
    assert (created["id"], created["retries"], again["retries"], again["tags"]) == (key, 1, 5, None)
    assert again["created_at"] == created["created_at"]
    by_name = await kong.must("PUT", "/services/plain", {"url": "http://127.0.0.1:10"})
    assert (by_name["id"], by_name["port"]) == (key, 10)


async def test_patch_keeps_what_is_not_named_and_merges_records(kong: Kong) -> None:
    await kong.must("POST", "/services", PLAIN)
    config = {"http_endpoint": "http://127.0.0.1:9", "queue": {"max_batch_size": 7}, "headers": {"A": "1"}}
    plugin = await kong.plugin("/services/plain", "http-log", **config)
    change = {"config": {"queue": {"max_entries": 5}, "headers": {"B": "2"}}, "tags": ["t"]}
    patched = await kong.must("PATCH", f"/plugins/{plugin['id']}", change)
    assert patched["config"]["queue"] | {"max_batch_size": 7, "max_entries": 5} == patched["config"]["queue"]
    assert patched["config"]["headers"] == {"B": "2"}
    assert patched["service"] == plugin["service"]


async def test_a_deprecated_name_changes_the_field_that_replaced_it(kong: Kong) -> None:
    plugin = await kong.plugin("", "rate-limiting", minute=5, policy="redis", redis_host="one.example")
    assert plugin["config"]["redis"]["host"] == "one.example"
    change = {"config": {"redis_host": "two.example"}}
    assert (await kong.must("PATCH", f"/plugins/{plugin['id']}", change))["config"]["redis"][
        "host"
    ] == "two.example"


async def test_references_may_be_by_name_and_must_exist(kong: Kong) -> None:
    service = await kong.must("POST", "/services", PLAIN)
    route = await kong.must("POST", "/routes", {"paths": ["/a"], "service": {"name": "plain"}})
    assert route["service"] == {"id": service["id"]}
    nobody = str(uuid.uuid4())  # noqa: TID251
    reply = await kong.admin("POST", "/routes", {"paths": ["/b"], "service": {"id": nobody}})
    assert (reply.status, reply.json()["code"]) == (400, 4)
    assert reply.json()["message"] == (
        f"the foreign key '{{id=\"{nobody}\"}}' does not reference an existing 'services' entity."
    )


async def test_deleting_a_consumer_takes_all_that_hangs_on_it(kong: Kong) -> None:
    await kong.must("POST", "/consumers", {"username": "alice"})
    await kong.must("POST", "/consumers/alice/key-auth", {"key": "k"})
    await kong.must("POST", "/consumers/alice/acls", {"group": "gold"})
    await kong.plugin("/consumers/alice", "rate-limiting", minute=1)
    assert (await kong.admin("DELETE", "/consumers/alice")).status == 204
    for path in ("/consumers", "/key-auths", "/acls", "/plugins"):
        assert (await kong.must("GET", path))["data"] == []
    await kong.must("POST", "/consumers", {"username": "alice"})
    await kong.must("POST", "/consumers/alice/key-auth", {"key": "k"})


async def test_deleting_a_service_takes_its_plugins_but_not_its_routes(kong: Kong) -> None:
    await kong.route("plain", 9)
    await kong.plugin("/services/plain", "key-auth")
    await kong.plugin("/routes/plain-r", "key-auth")
    assert (await kong.admin("DELETE", "/services/plain")).status == 400
    assert (await kong.admin("DELETE", "/services/plain/routes/plain-r")).status == 204
    assert (await kong.admin("DELETE", "/services/plain")).status == 204
    assert (await kong.must("GET", "/plugins"))["data"] == []


async def test_groups_and_credentials_by_name(kong: Kong) -> None:
    await kong.must("POST", "/consumers", {"username": "alice"})
    await kong.must("PUT", "/consumers/alice/acls/gold", {})
    twice = await kong.admin("POST", "/consumers/alice/acls", {"group": "gold"})
    assert (twice.status, twice.json()["fields"]["group"]) == (409, "gold")
    assert (await kong.must("GET", "/consumers/alice/acls/gold"))["group"] == "gold"
    assert (await kong.admin("DELETE", "/consumers/alice/acls/gold")).status == 204
    await kong.must("POST", "/consumers", {"username": "bob"})
    credential = await kong.must("POST", "/consumers/bob/key-auth", {"key": "k"})
    assert (await kong.admin("GET", f"/consumers/alice/key-auth/{credential['id']}")).status == 404
    assert (await kong.must("GET", "/key-auths/k/consumer"))["username"] == "bob"


async def test_a_credential_put_under_another_consumer_moves_there(kong: Kong) -> None:
    for name in ("alice", "revoked"):
        await kong.must("POST", "/consumers", {"username": name})
    credential = await kong.must("POST", "/consumers/alice/key-auth", {"key": "k"})
    moved = await kong.must(
        "PUT", f"/consumers/revoked/key-auth/{credential['id']}", {"key": "k", "tags": ["t"]}
    )
    assert moved["id"] == credential["id"]
    assert (await kong.must("GET", "/consumers/alice/key-auth"))["data"] == []
    assert (await kong.must("GET", "/key-auths/k/consumer"))["username"] == "revoked"


async def test_tags_filter_and_pages_reach_everything_once(kong: Kong) -> None:
    for number in range(25):
        tags = ["ns:a", f"odd:{number % 2}"] if number < 20 else ["ns:b"]
        await kong.must("POST", "/consumers", {"username": f"c{number}", "tags": tags})
    path, found = "/consumers?size=3&tags=ns:a,odd:1", []
    while path:
        page = await kong.must("GET", path)
        found += [consumer["username"] for consumer in page["data"]]
        path = page["next"]
    assert sorted(found) == sorted(f"c{number}" for number in range(1, 20, 2))
    assert len((await kong.must("GET", "/consumers?tags=odd:1/ns:b"))["data"]) == 15


@pytest.mark.parametrize(
    ("query", "code"), [("size=0", 9), ("size=1001", 9), ("size=x", 9), ("offset=%25", 7)]
)
async def test_a_bad_page_is_refused(kong: Kong, query: str, code: int) -> None:
    reply = await kong.admin("GET", f"/consumers?{query}")
    assert (reply.status, reply.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        (
            "rate-limiting",
            {"minute": 10, "hour": 5},
            "The limit for hour(5.0) cannot be lower than the limit for minute(10.0)",
        ),
        ("rate-limiting", {}, "at least one of these fields must be non-empty"),
        (
            "rate-limiting",
            {"minute": 1, "policy": "redis"},
            "failed conditional validation given value of field 'config.policy'",
        ),
        ("rate-limiting", {"minute": "x"}, "config.minute: expected a number"),
        ("acl", {}, "config.allow"),
        ("http-log", {}, "config.http_endpoint: required field missing"),
        ("key-auth", {"nope": 1}, "config.nope: unknown field"),
        ("cors", {"methods": ["FETCH"]}, "config.methods.1: expected one of: GET"),
    ],
)
async def test_a_wrong_config_is_refused_in_kongs_words(
    kong: Kong, name: str, config: dict[str, object], said: str
) -> None:
    reply = await kong.admin("POST", "/plugins", {"name": name, "config": config})
    assert (reply.status, reply.json()["code"]) == (400, 2)
    assert said in reply.json()["message"]


async def test_what_the_double_does_not_run_it_does_not_take(kong: Kong) -> None:
    assert (await kong.admin("POST", "/plugins", {"name": "jwt"})).status == 501
    config = {"http_endpoint": "http://127.0.0.1:9", "queue": {"concurrency_limit": -1}}
    assert (await kong.admin("POST", "/plugins", {"name": "http-log", "config": config})).status == 501


@pytest.mark.parametrize(
    ("path", "form", "made"),
    [
        ("/consumers", "custom_id=42&username=true", {"custom_id": "42", "username": "true"}),
        ("/consumers/alice/key-auth", "key=123", {"key": "123"}),
        (
            "/services",
            "name=s&host=h&port=81&enabled=false&path=",
            {"port": 81, "enabled": False, "path": None},
        ),
        (
            "/services/plain/routes",
            "paths=/one&hosts[1]=a&hosts[2]=b",
            {"paths": ["/one"], "hosts": ["a", "b"]},
        ),
        (
            "/services/plain/routes",
            "paths[]=/one&headers.x-a[]=1",
            {"paths": ["/one"], "headers": {"x-a": ["1"]}},
        ),
    ],
)
async def test_the_texts_of_a_form_are_read_as_the_schema_wants_them(
    kong: Kong, path: str, form: str, made: dict[str, object]
) -> None:
    await kong.must("POST", "/services", PLAIN)
    await kong.must("POST", "/consumers", {"username": "alice"})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await send(kong.admin_port, "POST", path, headers=headers, body=form)
    assert (reply.status, {name: reply.json().get(name) for name in made}) == (201, made)


async def test_a_plugins_form_is_read_by_its_name_also_when_it_is_patched(kong: Kong) -> None:
    plugin = await kong.plugin("", "rate-limiting", minute=5)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = "config.minute=&config.hour=7&config.redis_port=6380&config.hide_client_headers=true"
    reply = await send(kong.admin_port, "PATCH", f"/plugins/{plugin['id']}", headers=headers, body=form)
    config = reply.json()["config"]
    assert (config["minute"], config["hour"], config["hide_client_headers"]) == (None, 7, True)
    assert config["redis"]["port"] == config["redis_port"] == 6380


async def test_a_multipart_form_is_a_form(kong: Kong) -> None:
    parts = {"name": "rate-limiting", "config.minute": "5", "tags[]": "a"}
    body = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in parts.items()
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    reply = await send(kong.admin_port, "POST", "/plugins", headers=headers, body=body + "--x--\r\n")
    assert (reply.status, reply.json()["config"]["minute"], reply.json()["tags"]) == (201, 5, ["a"])


async def test_what_is_validated_is_not_kept(kong: Kong) -> None:
    ok = await kong.admin("POST", "/schemas/services/validate", {"host": "example.com"})
    assert (ok.status, ok.json()) == (200, {"message": "schema validation successful"})
    plugin = {"name": "rate-limiting", "config": {"minute": "x"}}
    bad = await kong.admin("POST", "/schemas/plugins/validate", plugin)
    assert (bad.status, bad.json()["fields"]) == (400, {"config": {"minute": "expected a number"}})
    assert (await kong.admin("POST", "/schemas/nothing/validate", {})).json() == {
        "message": "No entity named 'nothing'"
    }
    for path in ("/services", "/plugins"):
        assert (await kong.must("GET", path))["data"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/schemas/routes", 200),
        ("/schemas/plugins/cors", 200),
        ("/schemas/plugins/x", 404),
        ("/schemas/plugins/jwt", 501),
    ],
)
async def test_schemas_are_told_where_they_are_known(kong: Kong, path: str, status: int) -> None:
    assert (await kong.admin("GET", path)).status == status


@pytest.mark.parametrize(
    "path", ["/certificates", "/snis", "/vaults", "/key-sets", "/jwts", "/consumers/alice/basic-auth"]
)
async def test_of_what_the_double_does_not_keep_there_is_none(kong: Kong, path: str) -> None:
    await kong.must("POST", "/consumers", {"username": "alice"})
    assert await kong.must("GET", f"{path}?size=1000&tags=ns:a") == {"data": [], "next": None}
    assert (await kong.admin("POST", path, {"name": "x"})).status == 501
    assert (await kong.admin("GET", f"{path}/x")).status == 404


async def test_declarative_config_is_for_nodes_without_a_database(kong: Kong) -> None:
    for method in ("GET", "POST"):
        reply = await kong.admin(method, "/config")
        assert (reply.status, "not use a database" in reply.json()["message"]) == (400, True)


async def test_a_consumer_is_found_by_its_custom_id(kong: Kong) -> None:
    await kong.must("POST", "/consumers", {"username": "alice", "custom_id": "id/1"})
    await kong.must("POST", "/consumers", {"username": "bob", "custom_id": "id/2"})
    found = await kong.must("GET", "/consumers?custom_id=id%2F2")
    assert ([consumer["username"] for consumer in found["data"]], found["next"]) == (["bob"], None)
    assert (await kong.must("GET", "/consumers?custom_id=nobody"))["data"] == []


async def test_tags_come_in_pages_too(kong: Kong) -> None:
    for number in range(5):
        await kong.must("POST", "/consumers", {"username": f"c{number}", "tags": ["ns:a", f"n:{number}"]})
    path, found = "/tags?size=3", []
    while path:
        page = await kong.must("GET", path)
        found += [entry["tag"] for entry in page["data"]]
        path = page["next"]
    assert sorted(found) == sorted(["ns:a"] * 5 + [f"n:{number}" for number in range(5)])
    assert [entry["tag"] for entry in (await kong.must("GET", "/tags/n:3"))["data"]] == ["n:3"]


@pytest.mark.parametrize(
    "asked",
    [
        {"algorithm": "least-connections"},
        {"healthchecks": {"active": {"healthy": {"interval": 5}}}},
        {"healthchecks": {"passive": {"unhealthy": {"timeouts": 3}}}},
    ],
)
async def test_an_upstream_that_wants_more_than_round_robin_is_refused(
    kong: Kong, asked: dict[str, object]
) -> None:
    assert (await kong.admin("POST", "/upstreams", {"name": "pool"} | asked)).status == 501


async def test_forms_are_nested_like_json(kong: Kong) -> None:
    await kong.route("plain", 9)
    body = "name=rate-limiting&config.minute=5&config.redis.host=r.example&tags[]=a&tags[]=b"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await send(kong.admin_port, "POST", "/services/plain/plugins", headers=headers, body=body)
    made = reply.json()
    assert (made["config"]["minute"], made["config"]["redis"]["host"], made["tags"]) == (
        5,
        "r.example",
        ["a", "b"],
    )


async def test_the_root_tells_what_real_clients_look_for(kong: Kong) -> None:
    root = await kong.must("GET", "/")
    assert root["version"] == "3.9.3"
    assert root["configuration"]["database"] == "postgres"
    assert "key-auth" in root["plugins"]["available_on_server"]
