"""The Admin API's paths and methods."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from devstack.kong import SERVER_TOKEN
from devstack.kong.admin.bodies import is_form, read_arguments
from devstack.kong.admin.collections import Collections, shown
from devstack.kong.admin.declarative import Declarative
from devstack.kong.admin.errors import Refused, not_found
from devstack.kong.admin.info import Info
from devstack.kong.entities import ENTITIES
from devstack.kong.fields import Json
from devstack.kong.headers import Headers
from devstack.kong.server import Answer, Request
from devstack.kong.wire import Malformed

Parent = tuple[str, Json] | None
# path word -> kind, for top-level collections and for those nested under (kind, field that points up)
TOP = {
    "services": "services",
    "routes": "routes",
    "consumers": "consumers",
    "plugins": "plugins",
    "upstreams": "upstreams",
    "key-auths": "keyauth_credentials",
    "acls": "acls",
    "targets": "targets",
}
NESTED = {
    ("services", "routes"): ("routes", "service"),
    ("services", "plugins"): ("plugins", "service"),
    ("routes", "plugins"): ("plugins", "route"),
    ("consumers", "plugins"): ("plugins", "consumer"),
    ("consumers", "key-auth"): ("keyauth_credentials", "consumer"),
    ("consumers", "acls"): ("acls", "consumer"),
    ("upstreams", "targets"): ("targets", "upstream"),
}
# from an entity to the one that it points at
UPWARDS = {
    ("routes", "service"): "services",
    ("plugins", "service"): "services",
    ("plugins", "route"): "routes",
    ("plugins", "consumer"): "consumers",
    ("key-auths", "consumer"): "consumers",
    ("acls", "consumer"): "consumers",
    ("targets", "upstream"): "upstreams",
}
# Kinds that Kong knows and the double does not keep.
EMPTY = {
    "basic-auths": "basicauth_credentials",
    "ca_certificates": "ca_certificates",
    "certificates": "certificates",
    "filter-chains": "filter_chains",
    "hmac-auths": "hmacauth_credentials",
    "jwts": "jwt_secrets",
    "key-sets": "key_sets",
    "keys": "keys",
    "oauth2": "oauth2_credentials",
    "oauth2_tokens": "oauth2_tokens",
    "sessions": "sessions",
    "snis": "snis",
    "vaults": "vaults",
}
EMPTY_UNDER = {
    ("consumers", "basic-auth"): "basicauth_credentials",
    ("consumers", "hmac-auth"): "hmacauth_credentials",
    ("consumers", "jwt"): "jwt_secrets",
    ("consumers", "oauth2"): "oauth2_credentials",
    ("services", "filter-chains"): "filter_chains",
    ("routes", "filter-chains"): "filter_chains",
}


@dataclass(slots=True)
class Call:
    method: str
    path: str
    query: dict[str, str]
    given: Json
    form: bool


class AdminApi:
    """Answers every call; a call that changes something answers after the change is on disk."""

    def __init__(self, collections: Collections, info: Info, declarative: Declarative | None = None) -> None:
        self._collections = collections
        self._info = info
        self._declarative = declarative  # without a database

    async def refuse(self, client_ip: str, problem: Malformed, answer: Answer) -> None:
        del client_ip
        answer.keep_alive = False
        await self._reply(answer, problem.status, {"message": "Bad request"}, time.monotonic())

    async def handle(self, request: Request, answer: Answer) -> None:
        started = time.monotonic()
        raw = b"".join([piece async for piece in request.body.pieces()])
        path, _, query = request.head.target.partition("?")
        try:
            content_type = request.head.headers.get("content-type") or ""
            given = (
                read_arguments(content_type, raw) if request.head.method in ("POST", "PUT", "PATCH") else {}
            )
            arguments = dict(parse_qsl(query, keep_blank_values=True))
            call = Call(request.head.method, path, arguments, given, is_form(content_type))
            status, body = self._dispatch(call)
        except Refused as refusal:
            status, body = refusal.status, refusal.body
        if request.head.method not in ("GET", "HEAD", "OPTIONS"):
            print(f"admin {request.head.method} {path} {status}", file=sys.stderr, flush=True)
        await self._reply(answer, status, body, started)

    async def _reply(
        self, answer: Answer, status: int, body: Json | str | list[str] | None, started: float
    ) -> None:
        headers = Headers()
        raw = b""
        if isinstance(body, str):
            headers.add("Content-Type", "text/plain; charset=UTF-8")
            raw = body.encode()
        elif isinstance(body, list):  # the methods that a path knows
            allowed = ", ".join(body)
            headers.add("Access-Control-Allow-Methods", allowed)
            headers.add("Allow", allowed)
            headers.add("Access-Control-Allow-Headers", "Content-Type")
        elif body is not None:
            headers.add("Content-Type", "application/json; charset=utf-8")
            raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        headers.add("Access-Control-Allow-Origin", "*")
        headers.add("Access-Control-Allow-Credentials", "true")
        if status == 304:
            headers.add("Content-Length", "0")
        headers.add("X-Kong-Admin-Latency", str(int((time.monotonic() - started) * 1000)))
        headers.add("Server", SERVER_TOKEN)
        await answer.send(status, headers, raw)

    def _dispatch(self, call: Call) -> tuple[int, Json | str | list[str] | None]:
        methods = self._methods(call)
        method = "GET" if call.method == "HEAD" else call.method
        if call.method == "OPTIONS":
            return 204, sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])})
        if method not in methods:
            raise Refused(405, {"message": "Method not allowed"})
        return methods[method]()

    def _methods(self, call: Call) -> dict[str, Callable[[], tuple[int, Json | str | None]]]:
        """What each method would do at this path."""
        words = [unquote(word) for word in call.path.strip("/").split("/")] if call.path.strip("/") else []
        fixed = self._info.resource(words) or self._about_entities(call, words) or self._config(call, words)
        if fixed is not None:
            return fixed
        if words and (words[0] in EMPTY or (words[0], *words[2:3]) in EMPTY_UNDER):
            return self._empty(words)
        if not words or words[0] not in TOP:
            raise not_found()
        kind = TOP[words[0]]
        if len(words) == 1:
            return self._collection(call, kind, None)
        if len(words) == 2:
            return self._member(call, kind, words[1], None)
        if len(words) == 3 and (words[0], words[2]) in UPWARDS:
            return self._upwards(call, kind, words[1], words[2], UPWARDS[words[0], words[2]])
        if len(words) in (3, 4) and (words[0], words[2]) in NESTED:
            child, reference = NESTED[words[0], words[2]]
            parent = (reference, self._collections.find(kind, words[1]))
            if len(words) == 3:
                return self._collection(call, child, parent)
            if words[2:] == ["targets", "all"]:
                return {"GET": self._collection(call, child, parent)["GET"]}
            return self._member(call, child, words[3], parent)
        raise not_found()

    def _about_entities(
        self, call: Call, words: list[str]
    ) -> dict[str, Callable[[], tuple[int, Json | str | None]]] | None:
        """Tags, and the check of an entity that is not to be kept."""
        rules = self._collections
        match words:
            case ["tags"] | ["tags", _]:
                tag = words[1] if len(words) == 2 else None
                return {"GET": lambda: (200, rules.tags(tag, call.query, call.path.rstrip("/")))}
            case ["schemas", kind, "validate"]:

                def validate() -> tuple[int, Json]:
                    if kind not in ENTITIES:
                        raise Refused(404, {"message": f"No entity named '{kind}'"})
                    rules.complete(kind, self._given(call, kind))
                    return 200, {"message": "schema validation successful"}

                return {"POST": validate}
        return None

    def _config(
        self, call: Call, words: list[str]
    ) -> dict[str, Callable[[], tuple[int, Json | str | None]]] | None:
        """The whole configuration, on a node without a database."""
        if words != ["config"]:
            return None
        declarative = self._declarative

        def refuse() -> tuple[int, Json]:
            said = "this endpoint is only available when Kong is configured to not use a database"
            raise Refused(400, {"message": said})

        def load() -> tuple[int, Json | None]:
            if declarative is None:
                return refuse()
            unless = declarative.hash if call.query.get("check_hash") == "1" else None
            if "_format_version" in call.given:
                loaded = declarative.load(call.given, unless=unless)
            elif isinstance(call.given.get("config"), str):
                loaded = declarative.load_text(call.given["config"], unless=unless)
            else:
                raise Refused(400, {"message": "expected a declarative configuration"})
            return (304, None) if loaded is None else (201, dict(loaded))

        if declarative is None:
            return {"GET": refuse, "POST": refuse}
        return {"GET": lambda: (200, {"config": declarative.export()}), "POST": load}

    def _empty(self, words: list[str]) -> dict[str, Callable[[], tuple[int, Json | str | None]]]:
        """Kinds of entity that the double does not keep: there are none, and none can be made."""
        if words[0] in TOP:
            self._collections.find(TOP[words[0]], words[1])

        def refuse() -> tuple[int, Json]:
            raise Refused(
                501, {"message": f"the double of Kong keeps no {words[0 if len(words) < 3 else 2]}"}
            )

        def missing() -> tuple[int, Json]:
            raise not_found()

        if len(words) % 2:
            return {"GET": lambda: (200, {"data": [], "next": None}), "POST": refuse}
        return {"GET": missing, "PATCH": refuse, "PUT": refuse, "DELETE": lambda: (204, None)}

    def _given(self, call: Call, kind: str, held: Json | None = None) -> Json:
        return self._collections.read_form(kind, call.given, held) if call.form else call.given

    def _collection(
        self, call: Call, kind: str, parent: Parent
    ) -> dict[str, Callable[[], tuple[int, Json | str | None]]]:
        rules = self._collections
        return {
            "GET": lambda: (200, rules.page(kind, call.query, call.path.rstrip("/"), parent)),
            "POST": lambda: (201, shown(kind, rules.create(kind, self._given(call, kind), parent))),
        }

    def _member(
        self, call: Call, kind: str, key: str, parent: Parent
    ) -> dict[str, Callable[[], tuple[int, Json | str | None]]]:
        rules = self._collections

        def delete() -> tuple[int, Json | None]:
            rules.delete(kind, key, parent)
            return 204, None

        def update() -> tuple[int, Json]:
            held = rules.find(kind, key, parent)
            return 200, shown(kind, rules.update(kind, held, self._given(call, kind, held)))

        return {
            "GET": lambda: (200, shown(kind, rules.find(kind, key, parent))),
            "PATCH": update,
            "PUT": lambda: (200, shown(kind, rules.upsert(kind, key, self._given(call, kind), parent))),
            "DELETE": delete,
        }

    def _upwards(
        self, call: Call, kind: str, key: str, reference: str, target: str
    ) -> dict[str, Callable[[], tuple[int, Json | str | None]]]:
        held = self._collections.find(kind, key).get(reference)
        if not held:
            raise not_found()
        members = self._member(call, target, held["id"], None)
        return {method: members[method] for method in ("GET", "PATCH", "PUT")}


def endpoint_words() -> Iterable[str]:
    """Every path that the double answers, as `GET /endpoints` lists them."""
    for word, kind in TOP.items():
        yield f"/{word}"
        yield f"/{word}/{{{kind}}}"
    for (word, child), (kind, _) in NESTED.items():
        yield f"/{word}/{{{word}}}/{child}"
        yield f"/{word}/{{{word}}}/{child}/{{{kind}}}"
    for word, reference in UPWARDS:
        yield f"/{word}/{{{TOP[word]}}}/{reference}"
    for word, kind in EMPTY.items():
        yield f"/{word}"
        yield f"/{word}/{{{kind}}}"
    for (word, child), kind in EMPTY_UNDER.items():
        yield f"/{word}/{{{word}}}/{child}"
        yield f"/{word}/{{{word}}}/{child}/{{{kind}}}"
