"""Create, read, update, delete: one set of rules for every kind of entity."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from devstack.kong.admin.errors import (
    Refused,
    foreign_key_violation,
    invalid_offset,
    invalid_size,
    lua_literal,
    not_found,
    schema_violation,
    unique_violation,
    unsupported,
)
from devstack.kong.entities import ENTITIES, Entity
from devstack.kong.fields import UUID, Json, fill, move_aliases, problems_of, read_texts, show_aliases
from devstack.kong.ids import new_id
from devstack.kong.plugin_schemas import (
    BUNDLED,
    CONFIGS,
    NO_CONSUMER,
    PROTOCOLS,
    config_field,
    entity_problem,
)
from devstack.kong.store import Store, Taken

PAGE = 100
# maps and references: a PATCH replaces them whole, while it merges records
_REPLACED = (
    "headers",
    "custom_fields_by_lua",
    "service",
    "route",
    "consumer",
    "upstream",
    "client_certificate",
)


class Collections:
    """The rules of the Admin API over the store."""

    def __init__(self, store: Store, *, database: bool = True) -> None:
        self._store = store
        self._database = database

    def find(self, kind: str, key: str, parent: tuple[str, Json] | None = None) -> Json:
        """The entity by id or name, under `parent` where one is given. Raises 404."""
        entity = self._lookup(kind, key, parent)
        if entity is None or (parent is not None and not _belongs(entity, parent)):
            raise not_found()
        return entity

    def _lookup(self, kind: str, key: str, parent: tuple[str, Json] | None) -> Json | None:
        if UUID.fullmatch(key):
            return self._store.get(kind, key.lower())
        if kind in ("acls", "targets") and parent is not None:
            name = "group" if kind == "acls" else "target"
            return self._store.find(kind, (parent[0], name), (parent[1]["id"], key))
        name_field = ENTITIES[kind].name
        if name_field is None or (name_field,) not in ENTITIES[kind].unique:
            return None
        return self._store.find(kind, (name_field,), (key,))

    def read_form(self, kind: str, given: Json, held: Json | None) -> Json:
        """The texts of a form as the kind's schema wants them; a plugin's by its name, in the form or as it is."""
        fields = ENTITIES[kind].fields
        name = given.get("name") or (held or {}).get("name")
        if kind == "plugins" and name in CONFIGS:
            fields = {**fields, "config": config_field(name)}
        return read_texts(fields, given, {})

    def complete(self, kind: str, given: Json) -> Json:
        """The entity as `create` would make it, looked at alone; nothing is kept. Raises Refused."""
        entity = self._complete(ENTITIES[kind], given, None)
        if not self._database and entity.get("ttl") is None:
            entity.pop("ttl", None)  # only a database can let a credential expire
        return entity

    def create(self, kind: str, given: Json, parent: tuple[str, Json] | None = None) -> Json:
        return self._write(kind, _under(given, parent), None, "create")

    def update(self, kind: str, entity: Json, given: Json) -> Json:
        """PATCH: what is not named stays as it is. Records are merged."""
        given = dict(given)
        prepare = ENTITIES[kind].prepare
        if prepare:
            prepare(given)
        if kind == "plugins" and isinstance(given.get("config"), dict):
            given["config"] = move_aliases(given["config"], config_field(entity["name"]).aliases)
        merged = _merge({name: value for name, value in entity.items() if name != "updated_at"}, given)
        return self._write(kind, merged, entity, "update")

    def upsert(self, kind: str, key: str, given: Json, parent: tuple[str, Json] | None = None) -> Json:
        """PUT: the entity is what was sent, everything else at its default. Under another parent it moves there."""
        held = self._lookup(kind, key, parent)
        given = _under(given, parent)
        if UUID.fullmatch(key):
            given["id"] = key.lower()
        else:
            name = {"acls": "group", "targets": "target"}.get(kind) or ENTITIES[kind].name
            if name is None:
                raise not_found()
            given[name] = key
            if held is not None:
                given["id"] = held["id"]
        return self._write(kind, given, held, "create or update")

    def delete(self, kind: str, key: str, parent: tuple[str, Json] | None = None) -> None:
        """Gone, whether it was there or not."""
        entity = self._lookup(kind, key, parent)
        if entity is None or (parent is not None and not _belongs(entity, parent)):
            return
        for holder in ENTITIES[kind].held_by:
            for reference, target in ENTITIES[holder].references.items():
                if target == kind and next(self._store.children(holder, reference, entity["id"]), None):
                    said = f"an existing '{holder}' entity references this '{kind}' entity"
                    raise foreign_key_violation(said, {"@referenced_by": holder})
        if not self._database:
            raise unsupported("remove", kind)
        self._store.delete(kind, entity["id"])

    def _write(self, kind: str, given: Json, held: Json | None, operation: str) -> Json:
        spec = ENTITIES[kind]
        entity = self._complete(spec, given, held)
        if not self._database:
            raise unsupported(operation, kind)
        for name, target in spec.references.items():
            value = entity.get(name)
            if value and target in ENTITIES and self._store.get(target, value["id"]) is None:
                fields = {name: {"id": value["id"]}}
                said = lua_literal({"id": value["id"]})
                message = f"the foreign key '{said}' does not reference an existing '{target}' entity."
                raise foreign_key_violation(message, fields)
        clash = held is None and self._store.get(kind, entity["id"])
        if clash:
            fields = {"id": entity["id"]}
            body = {"message": f"primary key violation on key '{{id=\"{entity['id']}\"}}'", "fields": fields}
            raise Refused(400, body | {"name": "primary key violation", "code": 3})
        try:
            self._store.put(kind, entity)
        except Taken as taken:
            raise unique_violation(taken.fields) from taken
        return entity

    def _complete(self, spec: Entity, given: Json, held: Json | None) -> Json:
        """The whole entity, valid, or a refusal that says all that is wrong."""
        given = self._with_ids(spec, given)
        if spec.prepare:
            spec.prepare(given)
        now = round(time.time(), 3) if spec.fraction else int(time.time())
        for name, value in (("id", held["id"] if held else new_id()), ("created_at", now)):
            if given.get(name) is None:
                given[name] = held[name] if held else value
        if "updated_at" in spec.fields:
            given["updated_at"] = now
        fields = spec.fields
        if spec.kind == "plugins":
            fields = self._plugin_fields(given)
        entity = fill(fields, given, {})
        problems = problems_of(fields, entity)
        if not UUID.fullmatch(str(entity["id"])):
            problems["id"] = "expected a valid UUID"
        problems = problems or spec.extra(entity)
        unable = None if problems else spec.unable(entity)
        if unable:
            raise Refused(501, {"message": f"the double of Kong does not do {unable}"})
        if spec.kind == "plugins" and not problems:
            problems = entity_problem(entity["name"], entity["config"])
        if problems:
            raise schema_violation(problems)
        return entity

    def _with_ids(self, spec: Entity, given: Json) -> Json:
        """References may name what they point at; from here on they carry its id."""
        given = dict(given)
        for reference, target in spec.references.items():
            value = given.get(reference)
            key = ENTITIES[target].name if target in ENTITIES else None
            named = (
                value.get(key) if isinstance(value, dict) and "id" not in value and key is not None else None
            )
            if isinstance(named, str):
                found = self._store.find(target, (str(key),), (named,))
                if found is None:
                    said = f"the foreign key '{lua_literal(value)}' does not reference an existing '{target}' entity."
                    raise foreign_key_violation(said, {reference: value})
                given[reference] = {"id": found["id"]}
        return given

    def _plugin_fields(self, given: Json) -> Any:
        name = given.get("name")
        if name is None:
            raise schema_violation({"name": "required field missing"})
        if not isinstance(name, str):
            raise schema_violation({"name": "expected a string"})
        if name not in BUNDLED:
            said = f"plugin '{name}' not enabled; add it to the 'plugins' configuration property"
            raise schema_violation({"name": said})
        if name not in CONFIGS:
            raise Refused(501, {"message": f"the double of Kong does not run the plugin '{name}'"})
        if given.get("consumer") and name in NO_CONSUMER:
            raise schema_violation({"consumer": "value must be null"})
        if name in PROTOCOLS and "protocols" not in given:
            given["protocols"] = list(PROTOCOLS[name])
        return {**ENTITIES["plugins"].fields, "config": config_field(name)}

    def page(
        self, kind: str, query: dict[str, str], path: str, parent: tuple[str, Json] | None = None
    ) -> Json:
        """One page in id order, with a link to the next."""
        size = _size(query.get("size"))
        after = _decode_offset(query["offset"]) if "offset" in query else ""
        if parent is None:
            candidates: Iterable[Json] = self._store.all(kind)
        else:
            candidates = self._store.children(kind, parent[0], parent[1]["id"])
        if kind == "consumers" and parent is None and query.get("custom_id"):
            found = self._store.find(kind, ("custom_id",), (query["custom_id"],))
            return {"data": [found] if found else [], "next": None}
        wanted = _tag_filter(query.get("tags"))
        matching = sorted(
            (e for e in candidates if e["id"] > after and wanted(e)), key=lambda e: str(e["id"])
        )
        page = [(entity["id"], shown(kind, entity)) for entity in matching[: size + 1]]
        return _linked(page, size, query, path)

    def tags(self, tag: str | None, query: dict[str, str], path: str) -> Json:
        """One page of what carries a tag, or this tag."""
        size = _size(query.get("size"))
        after = _decode_offset(query["offset"]) if "offset" in query else ""
        found = (
            (f"{kind}/{entity['id']}/{name}", {"entity_name": kind, "entity_id": entity["id"], "tag": name})
            for kind in ENTITIES
            for entity in self._store.all(kind)
            for name in entity.get("tags") or ()
            if tag in (None, name)
        )
        page = sorted((each for each in found if each[0] > after), key=lambda each: each[0])
        return _linked(page[: size + 1], size, query, path)


def _linked(page: list[tuple[str, Json]], size: int, query: dict[str, str], path: str) -> Json:
    """The first `size` of these, and a link to the rest when there is one."""
    data = [item for _, item in page[:size]]
    if len(page) <= size:
        return {"data": data, "next": None}
    offset = base64.b64encode(json.dumps([page[size - 1][0]]).encode()).decode().rstrip("=")
    extra = "".join(f"&{name}={quote(query[name])}" for name in ("size", "tags") if name in query)
    return {"data": data, "next": f"{path}?offset={offset}{extra}", "offset": offset}


def shown(kind: str, entity: Json) -> Json:
    """An entity as the Admin API shows it."""
    if kind != "plugins":
        return entity
    return show_aliases({"config": config_field(entity["name"])}, entity)


def _belongs(entity: Json, parent: tuple[str, Json]) -> bool:
    reference = entity.get(parent[0])
    return bool(reference and reference["id"] == parent[1]["id"])


def _under(given: Json, parent: tuple[str, Json] | None) -> Json:
    return dict(given) if parent is None else {**given, parent[0]: {"id": parent[1]["id"]}}


def _merge(held: Json, given: Json) -> Json:
    merged = dict(held)
    for name, value in given.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value) if both and name not in _REPLACED else value
    return merged


def _size(text: str | None) -> int:
    if text is None:
        return PAGE
    if not text.isdigit():
        raise invalid_size("size must be a number")
    if not 1 <= int(text) <= 1000:
        raise invalid_size("size must be an integer between 1 and 1000")
    return int(text)


def _decode_offset(offset: str) -> str:
    try:
        decoded = json.loads(base64.b64decode(offset + "=" * (-len(offset) % 4), validate=True))
        return str(decoded[0])
    except (ValueError, LookupError, TypeError) as error:
        raise invalid_offset(offset) from error


def _tag_filter(tags: str | None) -> Any:
    if not tags:
        return lambda _: True
    if "," in tags and "/" in tags:
        raise Refused(
            400,
            {
                "message": "invalid option (tags: invalid filter syntax)",
                "name": "invalid options",
                "code": 11,
            },
        )
    if "/" in tags:
        any_of = set(tags.split("/"))
        return lambda entity: bool(any_of.intersection(entity.get("tags") or ()))
    all_of = set(tags.split(","))
    return lambda entity: all_of.issubset(entity.get("tags") or ())
