"""A small stand-in for Kong's plugin development kit and its Lua sandbox, enough to run our own functions.

The environment is the one that Kong 3.9 gives untrusted code: no `bit`, `table.concat`, `string.rep`,
`setmetatable` or `os.date`, and `require` only for the modules that `untrusted_lua_sandbox_requires` lists.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

from lupa.luajit21 import LuaRuntime

LUA = Path(__file__).parents[2] / "gateway" / "lua"
ALLOWED_REQUIRES = frozenset({"resty.sha256", "resty.string", "resty.openssl.hmac"})
NOW = 1_800_000_000.0

BUILD_SANDBOX = """
function(kong, ngx, modules, allowed)
  local env = {
    assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall,
    select = select, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack, xpcall = xpcall,
    math = math, os = { clock = os.clock, difftime = os.difftime, time = os.time },
    string = { byte = string.byte, char = string.char, find = string.find, format = string.format,
      gmatch = string.gmatch, gsub = string.gsub, len = string.len, lower = string.lower,
      match = string.match, reverse = string.reverse, sub = string.sub, upper = string.upper },
    table = { insert = table.insert, maxn = table.maxn, remove = table.remove, sort = table.sort },
    kong = kong, ngx = ngx,
    require = function(name)
      if not allowed[name] then error("require '" .. name .. "' not allowed within sandbox") end
      return modules[name]
    end,
  }
  env._G = env
  string.rep = nil
  return function(code, name) return assert(load(code, name, "t", env))() end
end
"""

MODULES = """
function(sha256_hex, hmac)
  return {
    ["resty.openssl.hmac"] = { new = function(key, algorithm)
      return { final = function(_, message) return hmac(key, algorithm, message) end }
    end },
    ["resty.sha256"] = { new = function()
      local text = ""
      return { update = function(_, more) text = text .. more end, final = function() return text end }
    end },
    ["resty.string"] = { to_hex = sha256_hex },
  }
end
"""


class Exited(Exception):
    """`kong.response.exit`: nothing after it runs in this phase."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


@dataclass
class Exchange:
    """One request on its way through our functions: what Kong would know goes in, what was written comes out."""

    request_headers: dict[str, str | list[str]] = field(default_factory=dict)
    status: int = 200
    source: str = "service"
    response_headers: dict[str, str] = field(default_factory=dict)
    consumer_tags: list[str] | None = None
    credential_tags: list[str] | None = None
    service_tags: list[str] = field(default_factory=lambda: ["api:A"])
    service_path: str | None = None
    route_tags: list[str] = field(default_factory=lambda: ["api:A"])
    elapsed: float = 0.012
    request_id: str = "0123456789abcdef0123456789abcdef"
    path: str = "/v1/things"
    master: str | None = None

    def __post_init__(self) -> None:
        self.lua = LuaRuntime(encoding="latin-1", unpack_returned_tuples=True, register_eval=False)
        table = self.lua.table_from
        self.shared = self.lua.table()
        self.upstream_path: str | None = None
        self.logged: dict[str, Any] = {}
        self.plugin = self.lua.table()
        self.arg = self.lua.table()
        self.var = table({"kong_request_id": self.request_id})
        kong = table(
            {
                "request": table({"get_headers": self._request_headers, "get_path": lambda: self.path}),
                "service": table(
                    {
                        "request": table(
                            {
                                "set_header": self._set_request,
                                "clear_header": self._clear_request,
                                "set_path": lambda path: setattr(self, "upstream_path", path),
                            }
                        )
                    }
                ),
                "client": table({"get_consumer": self._consumer, "get_credential": self._credential}),
                "router": table(
                    {
                        "get_service": lambda: self._tagged(self.service_tags, path=self.service_path),
                        "get_route": lambda: self._tagged(self.route_tags),
                    }
                ),
                "log": table({"set_serialize_value": self.logged.__setitem__}),
                "vault": table({"get": self._secret}),
                "ctx": table({"shared": self.shared, "plugin": self.plugin}),
                "response": table(
                    {
                        "exit": self._exit,
                        "get_status": lambda: self.status,
                        "get_source": lambda: self.source,
                        "get_headers": lambda: table(
                            {k.lower(): v for k, v in self.response_headers.items()}
                        ),
                        "get_header": self._response_header,
                        "set_header": self._set_response,
                        "add_header": self._add_response,
                        "clear_header": self._clear_response,
                        "set_status": self._set_status,
                    }
                ),
            }
        )
        ngx = table(
            {
                "var": self.var,
                "arg": self.arg,
                "header": table(dict(self.response_headers)),
                "time": lambda: int(NOW),
                "encode_base64": lambda data, _: (
                    base64.b64encode(data.encode("latin-1")).decode().rstrip("=")
                ),
                "http_time": lambda at: formatdate(at, usegmt=True),
                "now": lambda: NOW + self.elapsed,
                "req": table({"start_time": lambda: NOW}),
                "crc32_long": lambda text: zlib.crc32(text.encode("latin-1")),
            }
        )
        modules = self.lua.eval(MODULES)(
            lambda text: hashlib.sha256(text.encode("latin-1")).hexdigest(),
            lambda key, algorithm, text: hmac.digest(
                key.encode("latin-1"), text.encode("latin-1"), algorithm
            ).decode("latin-1"),
        )
        allowed = table(dict.fromkeys(ALLOWED_REQUIRES, True))
        self._load = self.lua.eval(BUILD_SANDBOX)(kong, ngx, modules, allowed)

    def _secret(self, reference: str) -> str | None:
        assert reference == "{vault://env/upstream-master}"
        return self.master

    def _request_headers(self) -> Any:
        values = {
            name.lower(): self.lua.table_from(value) if isinstance(value, list) else value
            for name, value in self.request_headers.items()
        }
        return self.lua.table_from(values)

    def _set_request(self, name: str, value: str) -> None:
        self._clear_request(name)
        self.request_headers[name] = value

    def _clear_request(self, name: str) -> None:
        for present in [one for one in self.request_headers if one.lower() == name.lower()]:
            del self.request_headers[present]

    def _tagged(self, tags: list[str], **more: str | None) -> Any:
        return self.lua.table_from({"id": "some-id", "tags": self.lua.table_from(tags), **more})

    def _consumer(self) -> Any:
        return None if self.consumer_tags is None else self._tagged(self.consumer_tags)

    def _credential(self) -> Any:
        return None if self.credential_tags is None else self._tagged(self.credential_tags)

    def _exit(self, status: int, body: Any = None) -> None:
        raise Exited(status, body)

    def _response_header(self, name: str) -> str | None:
        return next((v for k, v in self.response_headers.items() if k.lower() == name.lower()), None)

    def _set_response(self, name: str, value: str) -> None:
        self._clear_response(name)
        self.response_headers[name] = value

    def _add_response(self, name: str, value: str) -> None:
        present = self._response_header(name)
        self._set_response(name, value if present is None else f"{present}, {value}")

    def _clear_response(self, name: str) -> None:
        for present in [one for one in self.response_headers if one.lower() == name.lower()]:
            del self.response_headers[present]

    def _set_status(self, status: int) -> None:
        self.status = status

    def run(self, name: str, source: str | None = None) -> None:
        """Runs one of our files as Kong runs a phase: load the chunk, then call the function it returned."""
        code = source if source is not None else (LUA / f"{name}.lua").read_text(encoding="utf-8")
        self._load(code, name)()

    def run_access(self, name: str = "pre_access") -> Exited | None:
        """Runs an access function; the exit it made, or None when the request goes on."""
        try:
            self.run(name)
        except Exited as exited:
            self.status, self.source = exited.status, "exit"
            return exited
        return None

    def expression(self, code: str) -> Any:
        """What one of the log's custom fields evaluates to."""
        return self._load(code, "field")

    def problem(self, *chunks: str) -> dict[str, Any]:
        """The answer after header and body filter, parsed. `chunks` is the body that Kong would have sent."""
        self.run("header_filter")
        body = ""
        for index, chunk in enumerate(chunks or ('{"message":"Kong says no"}',)):
            self.arg[1], self.arg[2] = chunk, index == len(chunks or (1,)) - 1
            self.run("body_filter")
            body += self.arg[1] or ""
        parsed: dict[str, Any] = json.loads(body)
        return parsed
