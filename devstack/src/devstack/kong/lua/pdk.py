"""The host's side of Kong's plugin development kit: flat functions over the request at hand."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

from devstack.kong.exchange import Exchange
from devstack.kong.lua.variables import read_variable
from devstack.kong.paths import escape
from devstack.kong.vault import Vault

if TYPE_CHECKING:
    from devstack.kong.lua.runtime import LuaHost


class Pdk:
    """`enter` binds a request; the functions that Lua calls work on it until `leave`."""

    def __init__(self, host: LuaHost, vault: Vault, node_id: str) -> None:
        self._host = host
        self._vault = vault
        self._node_id = node_id
        self._exchange: Exchange | None = None
        self._phase = ""
        self._instance = ""

    def enter(self, exchange: Exchange, phase: str, instance_id: str) -> None:
        self._exchange, self._phase, self._instance = exchange, phase, instance_id

    def leave(self) -> None:
        self._exchange = None

    @property
    def x(self) -> Exchange:
        if self._exchange is None:
            raise RuntimeError("no request in the current context")
        return self._exchange

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Everything public here, under its own name, and what needs no request."""
        names = [name for name in dir(self) if not name.startswith("_") and name not in _NOT_FOR_LUA]
        return {name: getattr(self, name) for name in names} | _PURE

    # the request
    def var(self, name: str) -> Any:
        return read_variable(self.x, str(name))

    def set_var(self, name: str, value: Any) -> None:
        if name == "upstream_uri":
            self.x.upstream_path = str(value)
        elif name == "upstream_host":
            self.x.upstream_host = str(value)
        elif name == "upstream_x_forwarded_prefix":
            self.x.prefix = str(value)
        elif name == "args":
            self.x.raw_query = str(value or "")
        else:
            self.x.notes["var", name] = value

    def path(self) -> str:
        return self.x.path

    def raw_path(self) -> str:
        return self.x.raw_path

    def path_with_query(self) -> str:
        return f"{self.x.path}?{self.x.raw_query}" if self.x.raw_query else self.x.path

    def raw_query(self) -> str:
        return self.x.raw_query

    def query(self) -> Any:
        return self._host._lua.table_from(list(_flat_query(self.x.raw_query)))

    def captures(self) -> Any:
        return self._host._lua.table_from([part for pair in self.x.captures.items() for part in pair])

    def request_header(self, name: str) -> str | None:
        return self.x.headers.get(name) or self.x.headers.get(name.replace("_", "-"))

    def request_headers(self) -> Any:
        return self._flat(self.x.headers)

    def request_body(self) -> str | None:
        return None if self.x.body is None else self.x.body.decode("latin-1")

    def set_request_header(self, name: str, value: Any) -> None:
        if name.lower() == "host":
            self.x.upstream_host = _texts(value)[0]
        else:
            self.x.headers.set_all(name, _texts(value)) if not isinstance(value, str) else self.x.headers.set(
                name, value
            )

    def add_request_header(self, name: str, value: Any) -> None:
        for text in _texts(value):
            self.x.headers.add(name, text)

    def clear_request_header(self, name: str) -> None:
        self.x.headers.remove(name)

    def set_upstream_path(self, path: str) -> None:
        self.x.upstream_path = escape(path)

    def set_raw_query(self, query: str) -> None:
        self.x.raw_query = query

    def set_method(self, method: str) -> None:
        self.x.method = method

    def set_target(self, host: str, port: int) -> None:
        self.x.target = (host, int(port))

    def start_time(self) -> float:
        return self.x.started

    # who and where
    def consumer(self) -> Any:
        return self._entity(self.x.consumer)

    def credential(self) -> Any:
        return self._entity(self.x.credential)

    def route(self) -> Any:
        return self._entity(self.x.route)

    def service(self) -> Any:
        return self._entity(self.x.service)

    def table(self, name: str) -> Any:
        """The table of this request (or of this plugin in this request) that Lua keeps values in."""
        key = f"plugin:{self._instance}" if name == "plugin" else name
        held = self.x.lua.get(key)
        if held is None:
            held = self.x.lua[key] = self._host.new_table()
        return held

    # the answer
    def exit(self, status: int, body: Any = None, headers: Any = None) -> None:
        sent = self._headers(headers)
        if body is None or isinstance(body, str):
            self.x.exit(int(status), (body or "").encode("latin-1"), sent)
            return
        raw = self._host.encode_json(body).encode("latin-1")
        typed = any(name.lower() == "content-type" for name, _ in sent)
        first = [] if typed else [("Content-Type", "application/json; charset=utf-8")]
        self.x.exit(int(status), raw, [*first, *sent])

    def error(self, status: int, message: Any = None, headers: Any = None) -> None:
        self.x.error(int(status), str(message or "An unexpected error occurred"), self._headers(headers))

    def ngx_exit(self, status: int) -> None:
        if status >= 200:
            said = str(self.x.notes.get("said", ""))
            self.x.exit(int(status), said.encode("latin-1"))
        elif self.x.notes.get("said"):
            self.x.exit(self.x.status or 200, str(self.x.notes["said"]).encode("latin-1"))

    def say(self, text: str) -> None:
        self.x.notes["said"] = str(self.x.notes.get("said", "")) + text

    def status(self) -> int:
        return self.x.status or (self.x.exited.status if self.x.exited else 200)

    def set_status(self, status: int) -> None:
        self.x.status = int(status)

    def service_status(self) -> int | None:
        return int(self.x.upstream_statuses[-1]) if self.x.answered_by_upstream else None

    def source(self) -> str:
        return self.x.source

    def response_header(self, name: str) -> str | None:
        return self.x.response.get(name) or self.x.response.get(name.replace("_", "-"))

    def response_headers(self) -> Any:
        return self._flat(self.x.response)

    def ngx_header(self, name: str) -> Any:
        values = self.x.response.get_all(name)
        if len(values) > 1:
            return self._host._lua.table_from(values)
        return values[0] if values else None

    def set_response_header(self, name: str, value: Any) -> None:
        if isinstance(value, str):
            self.x.response.set(name, value)
        else:
            self.x.response.set_all(name, _texts(value))

    def add_response_header(self, name: str, value: Any) -> None:
        for text in _texts(value):
            self.x.response.add(name, text)

    def clear_response_header(self, name: str) -> None:
        self.x.response.remove(name)

    def arg(self, index: int) -> Any:
        return self.x.lua.get(f"arg{index}")

    def set_arg(self, index: int, value: Any) -> None:
        self.x.lua[f"arg{index}"] = value

    def collected_body(self) -> str | None:
        """The whole body, once its end is there; until then nothing leaves."""
        if self.x.lua.get("arg2"):
            return str(self.x.lua.get("body", ""))
        self.x.lua["arg1"] = None
        return None

    def replace_body(self, body: str) -> None:
        self.x.lua["arg1"] = body

    # the log
    def set_serialize_value(self, name: str, value: Any, mode: str) -> None:
        self.x.log_changes.append((name, self._host.to_python(value), mode))

    def serialize(self) -> Any:
        from devstack.kong.logentry import serialize

        return self._host.to_lua(serialize(self.x, ""))

    def log(self, level: str, text: str) -> None:
        print(f"[{level}] lua {self._phase}: {text}", file=sys.stderr, flush=True)

    def phase(self) -> str:
        return self._phase

    def node_id(self) -> str:
        return self._node_id

    def vault(self, reference: str) -> Any:
        try:
            value = self._vault.get(reference)
        except ValueError as error:
            return None, str(error)
        if value is None:
            return None, f"could not get value from external vault (no value found) [{reference}]"
        return value.encode().decode("latin-1")

    def json_encode(self, value: Any) -> Any:
        try:
            return self._host.encode_json(value)
        except (TypeError, ValueError) as error:
            return None, str(error)

    def json_decode(self, text: Any) -> Any:
        try:
            return self._host.decode_json(json.loads(str(text).encode("latin-1")))
        except ValueError as error:
            return None, str(error)

    def encode_args(self, table: Any) -> str:
        parts = []
        for name, value in sorted((self._host.to_python(table) or {}).items()):
            for item in value if isinstance(value, list) else [value]:
                parts.append(
                    quote(name, safe="")
                    if item is True
                    else f"{quote(name, safe='')}={quote(str(item), safe='')}"
                )
        return "&".join(parts)

    def decode_args(self, text: str) -> Any:
        return self._host._lua.table_from(list(_flat_query(text)))

    def re_match(self, subject: str, pattern: str, options: str | None = None) -> Any:
        found = _regex(pattern, options).search(subject)
        if found is None:
            return None
        table = self._host.new_table()
        for index in range(found.re.groups + 1):
            table[index] = found[index] if found[index] is not None else False
        for name, value in found.groupdict().items():
            table[name] = value if value is not None else False
        return table

    def _entity(self, entity: Any) -> Any:
        return None if entity is None else self._host.to_lua(entity)

    def _flat(self, headers: Iterable[tuple[str, str]]) -> Any:
        return self._host._lua.table_from([part for name, value in headers for part in (name.lower(), value)])

    def _headers(self, table: Any) -> list[tuple[str, str]]:
        if table is None:
            return []
        return [(str(name), text) for name in table.keys() for text in _texts(table[name])]  # noqa: SIM118 - a Lua table


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, int | float):
        return [f"{value:g}"] if isinstance(value, float) else [str(value)]
    return [str(item) for item in value.values()]


def _flat_query(raw: str) -> Iterable[Any]:
    for part in raw.split("&") if raw else ():
        name, equals, value = part.partition("=")
        if part:
            yield _unescape(name)
            yield _unescape(value) if equals else True


def _unescape(text: str) -> str:
    return unquote_plus(text, encoding="latin-1")


def _regex(pattern: str, options: str | None) -> re.Pattern[str]:
    flags = re.ASCII
    for letter, flag in (("i", re.IGNORECASE), ("s", re.DOTALL), ("m", re.MULTILINE), ("x", re.VERBOSE)):
        if letter in (options or ""):
            flags |= flag
    anchored = "\\A" if "a" in (options or "") else ""
    return re.compile(anchored + re.sub(r"\(\?<(?![=!])", "(?P<", pattern), flags)


def re_find(subject: str, pattern: str, options: str | None = None) -> Any:
    found = _regex(pattern, options).search(subject)
    return None if found is None else (found.start() + 1, found.end())


def re_sub(subject: str, pattern: str, replacement: str, options: str | None, count: int) -> Any:
    template = re.sub(r"\$\{?(\d+)\}?", r"\\g<\1>", replacement.replace("\\", "\\\\"))
    return _regex(pattern, options).subn(template, subject, count=count)


def _decode_base64(data: str) -> str | None:
    try:
        return base64.b64decode(data + "=" * (-len(data) % 4), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return None


def _encode_base64(data: str, no_padding: object = None) -> str:
    encoded = base64.b64encode(str(data).encode("latin-1")).decode()
    return encoded.rstrip("=") if no_padding is True else encoded


_NOT_FOR_LUA = {"enter", "leave", "x", "functions"}
_PURE: dict[str, Callable[..., Any]] = {
    "now": time.time,
    "date": lambda form: datetime.now(UTC).strftime(form),
    "http_time": lambda seconds: formatdate(seconds, usegmt=True),
    "digest": lambda algorithm, data: (
        hashlib.new(algorithm, data.encode("latin-1")).digest().decode("latin-1")
    ),
    "hmac": lambda algorithm, key, data: (
        hmac.new(key.encode("latin-1"), data.encode("latin-1"), algorithm).digest().decode("latin-1")
    ),
    "to_hex": lambda data: data.encode("latin-1").hex(),
    "crc32": lambda data: zlib.crc32(data.encode("latin-1")),
    "escape_uri": lambda data: quote(data, safe="", encoding="latin-1"),
    "unescape_uri": _unescape,
    "encode_base64": _encode_base64,
    "decode_base64": _decode_base64,
    "re_find": re_find,
    "re_sub": re_sub,
}
