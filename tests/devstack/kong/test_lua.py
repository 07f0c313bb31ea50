"""The sandbox lets no more through than Kong's, and the PDK says what Kong's says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from .conftest import Kong
from .support import Reply, TinyServer, send

FORBIDDEN = (
    "io", "os.execute", "os.getenv", "os.remove", "debug", "package", "loadstring", "load", "dofile", "setfenv",
    "getfenv", "python", "rawset", "setmetatable", "getmetatable", "string.dump", "string.rep", "table.concat",
    "collectgarbage", "jit", "bit", "newproxy", "print", "coroutine",
)  # fmt: skip


@pytest.fixture
async def lua(kong: Kong, upstream: TinyServer) -> Any:
    """Runs an expression in the access phase; its value comes back as JSON."""
    await kong.route("lua", upstream.port)

    async def run(
        expression: str, *, target: str = "/lua/x?a=1&b&a=2", headers: dict[str, str] | None = None
    ) -> Any:
        source = f"kong.response.exit(200, {{ value = {expression} }})"
        plugin = await kong.plugin("/services/lua", "pre-function", access=[source])
        reply = await send(kong.proxy_port, "GET", target, headers=headers)
        await kong.must("DELETE", f"/plugins/{plugin['id']}")
        return reply.json().get("value", reply.json().get("message"))

    return run


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_what_kongs_sandbox_lacks_is_lacking(lua: Any, name: str) -> None:
    guarded = (
        name.replace(".", " and ", 1).replace(" and ", f" and {name.split('.', maxsplit=1)[0]}.", 1)
        if "." in name
        else name
    )
    assert await lua(f"tostring({guarded})") == "nil"


async def test_only_listed_modules_may_be_required(lua: Any) -> None:
    assert "An unexpected error occurred" in await lua("require('resty.http')")
    assert "not allowed within sandbox" in await lua("select(2, pcall(require, 'socket'))")
    assert await lua("type(require('cjson.safe').encode)") == "function"


async def test_host_objects_are_closed(lua: Any) -> None:
    assert await lua("type(kong.request.get_header)") == "function"
    assert await lua("tostring(pcall(function() return kong.request.get_header.__globals__ end))") == "false"


async def test_hashing(lua: Any) -> None:
    updates = "local d = require('resty.sha256'):new(); d:update('mk_'); d:update('x'); return d:final()"
    digest = f"(function() {updates} end)()"
    assert await lua(f"require('resty.string').to_hex({digest})") == hashlib.sha256(b"mk_x").hexdigest()
    keyed = "require('resty.openssl.hmac').new('key', 'sha256'):final('data')"
    expected = hmac.new(b"key", b"data", "sha256").hexdigest()
    assert await lua(f"require('resty.string').to_hex({keyed})") == expected
    assert await lua("ngx.md5('a')") == hashlib.md5(b"a").hexdigest()
    sha1 = base64.b64encode(hmac.new(b"k", b"d", "sha1").digest()).decode()
    assert await lua("ngx.encode_base64(ngx.hmac_sha1('k', 'd'))") == sha1
    assert await lua("ngx.crc32_long('123456789')") == 0xCBF43926


async def test_the_request(lua: Any) -> None:
    headers = {"X-One": "1", "Host": "api.example:80"}
    assert await lua("kong.request.get_header('x-one')", headers=headers) == "1"
    assert await lua("kong.request.get_headers()['X_One']", headers=headers) == "1"
    assert await lua("kong.request.get_query()") == {"a": ["1", "2"], "b": True}
    assert await lua("kong.request.get_query_arg('a')") == "1"
    assert await lua(
        "kong.request.get_path() .. '|' .. kong.request.get_raw_path()", target="/lua//x/%7e"
    ) == ("/lua/x/~|/lua//x/%7e")
    assert await lua("kong.request.get_host()", headers=headers) == "api.example"
    assert await lua("kong.request.get_method() .. ngx.var.request_method") == "GETGET"
    assert (
        await lua("kong.client.get_ip() .. kong.client.get_forwarded_ip() .. ngx.var.remote_addr")
        == "127.0.0.1" * 3
    )
    assert await lua("#ngx.var.kong_request_id") == 32
    assert await lua("ngx.var.request_uri") == "/lua/x?a=1&b&a=2"
    assert await lua("ngx.now() - ngx.req.start_time() >= 0 and ngx.time() > 1700000000") is True


async def test_secrets_come_from_the_environment(lua: Any) -> None:
    assert await lua("kong.vault.get('{vault://env/upstream-master}')") == "master-secret"
    assert await lua("tostring(kong.vault.get('{vault://env/none}'))") == "nil"
    assert "no value found" in await lua("select(2, kong.vault.get('{vault://env/none}'))")


async def test_json(lua: Any) -> None:
    assert await lua('require(\'cjson.safe\').decode(\'{"a":[1,2,{"b":"ü"}]}\').a') == [1, 2, {"b": "ü"}]
    assert await lua("tostring(require('cjson.safe').decode('{oops'))") == "nil"
    assert await lua("require('cjson.safe').encode({ 1, 'a', false })") == '[1,"a",false]'
    assert await lua("require('cjson.safe').decode('null') == ngx.null") is True


async def test_regular_expressions(lua: Any) -> None:
    assert await lua("ngx.re.match('key=42', '(?<name>[a-z]+)=(\\\\d+)')[2]") == "42"
    assert await lua("ngx.re.gsub('a-b-c', '-', '+')") == "a+b+c"
    assert await lua("tostring(ngx.re.find('ABC', 'b', 'i'))") == "2"


async def test_entities_and_their_tags(kong: Kong, upstream: TinyServer) -> None:
    service = await kong.route("echo", upstream.port)
    await kong.must("PATCH", "/services/echo", {"tags": ["api:1"]})
    await kong.must("POST", "/consumers", {"username": "alice", "tags": ["stop:quota", "until:9"]})
    await kong.must("POST", "/consumers/alice/key-auth", {"key": "k", "tags": ["exp:7"]})
    await kong.plugin("/services/echo", "key-auth")
    source = """
        local service, consumer = kong.router.get_service(), kong.client.get_consumer()
        kong.response.exit(200, { service.id, service.tags[1], consumer.tags[2], consumer.custom_id == nil,
          kong.client.get_credential().tags[1], kong.router.get_route().paths[1] })"""
    await kong.plugin("/services/echo", "post-function", access=[source])
    expected = [service["id"], "api:1", "until:9", True, "exp:7", "/echo"]
    assert (await kong.get("/echo/x", apikey="k")).json() == expected


async def answer_with(kong: Kong, upstream: TinyServer, **phases: list[str]) -> Reply:
    await kong.route("echo", upstream.port)
    await kong.plugin("/services/echo", "post-function", **phases)
    return await kong.get("/echo/x")


async def test_an_exit_leaves_at_once_even_through_a_guard(kong: Kong, upstream: TinyServer) -> None:
    guarded = "pcall(kong.response.exit, 418, 'gone', { ['X-Why'] = 'tea' })"
    source = f"xpcall(function() {guarded} end, tostring); error('not reached')"
    reply = await answer_with(kong, upstream, access=[source])
    assert (reply.status, reply.body, reply.header("x-why")) == (418, b"gone", "tea")
    assert upstream.seen == []


async def test_a_failure_in_access_is_a_500_and_elsewhere_only_logged(
    kong: Kong, upstream: TinyServer
) -> None:
    reply = await answer_with(
        kong, upstream, header_filter=["error('late')"], access=["local a = nil; return a.b"]
    )
    assert reply.status == 500
    assert reply.json()["message"] == "An unexpected error occurred"


async def test_code_that_does_not_compile_is_refused_when_it_is_written(
    kong: Kong, upstream: TinyServer
) -> None:
    await kong.route("echo", upstream.port)
    body = {"name": "post-function", "config": {"access": ["this is not lua"]}}
    reply = await kong.admin("POST", "/services/echo/plugins", body)
    assert reply.status == 400
    assert "Error parsing function" in json.dumps(reply.json()["fields"])


async def test_a_chunk_may_return_its_function_and_keep_state(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    source = "local n = 0; return function() n = n + 1; kong.response.exit(200, { n = n }) end"
    await kong.plugin("/services/echo", "pre-function", access=[source])
    assert [(await kong.get("/echo/x")).json()["n"] for _ in range(3)] == [1, 2, 3]


async def test_context_lives_as_long_as_the_request(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    seen = "kong.response.set_header('x-seen', tostring(kong.ctx.shared.n) .. tostring(kong.ctx.plugin.n))"
    count = "kong.ctx.shared.n = (kong.ctx.shared.n or 0) + 1"
    await kong.plugin("/services/echo", "pre-function", access=[count, "kong.ctx.plugin.n = 'mine'"])
    await kong.plugin("/services/echo", "post-function", access=[count], header_filter=[seen])
    assert [(await kong.get("/echo/x")).header("x-seen") for _ in range(2)] == ["2nil", "2nil"]


async def test_a_body_that_kong_made_is_replaced_at_its_end(kong: Kong) -> None:
    head = "kong.response.clear_header('Content-Length'); kong.response.set_status(410)"
    body = 'if ngx.arg[2] then ngx.arg[1] = \'{"code":"GONE"}\' else ngx.arg[1] = nil end'
    await kong.plugin("", "post-function", header_filter=[head], body_filter=[body])
    reply = await kong.get("/nowhere")
    assert (reply.status, reply.json()) == (410, {"code": "GONE"})


async def test_the_upstreams_body_is_filtered_piece_by_piece(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    body = "if ngx.arg[1] then ngx.arg[1] = ngx.arg[1]:gsub('upstream', 'UPSTREAM') end"
    head = "ngx.header['Content-Length'] = nil"
    await kong.plugin("/services/echo", "post-function", header_filter=[head], body_filter=[body])
    assert "UPSTREAM_received" in (await kong.get("/echo/x")).json()


async def test_request_headers_set_and_cleared_reach_the_upstream_so(
    kong: Kong, upstream: TinyServer
) -> None:
    source = """
        kong.service.request.set_header('x-master', kong.vault.get('{vault://env/upstream-master}'))
        kong.service.request.clear_header('x-secret')
        kong.service.request.set_header('Host', 'inner.example')
        ngx.req.set_header('x-number', 5)"""
    await kong.route("echo", upstream.port)
    await kong.plugin("/services/echo", "post-function", access=[source])
    await kong.get("/echo/x", X_Secret="1")
    seen = upstream.seen[0]
    found = [seen.header(name) for name in ("x-master", "x-secret", "host", "x-number")]
    assert found == ["master-secret", None, "inner.example", "5"]


async def test_values_of_the_log_are_set_added_and_taken_out(
    kong: Kong, upstream: TinyServer, tmp_path: Any
) -> None:
    await kong.route("echo", upstream.port)
    source = """
        kong.log.set_serialize_value('usage_units', 3)
        kong.log.set_serialize_value('request.method', 'x', { mode = 'add' })
        kong.log.set_serialize_value('nothing', 'x', { mode = 'replace' })
        kong.response.clear_header('X-Upstream')"""
    await kong.plugin("/services/echo", "post-function", header_filter=[source])
    fields = {"request.headers": "return nil", "request.path": "return kong.request.get_path()"}
    log = tmp_path / "file.log"
    await kong.plugin("/services/echo", "file-log", path=str(log), custom_fields_by_lua=fields)
    reply = await kong.get("/echo/x?secret=1")
    entry = json.loads(log.read_text())
    assert reply.header("x-upstream") is None
    assert (entry["usage_units"], entry["request"]["method"], entry["request"]["path"]) == (
        3,
        "GET",
        "/echo/x",
    )
    assert "headers" not in entry["request"]
    assert "nothing" not in entry
