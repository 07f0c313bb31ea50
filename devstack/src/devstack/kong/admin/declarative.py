"""The whole configuration as one document: what a node without a database is told, and tells."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from devstack.kong.admin.collections import Collections, shown
from devstack.kong.admin.errors import Refused, lua_literal
from devstack.kong.entities import ENTITIES
from devstack.kong.fields import Json
from devstack.kong.ids import new_id
from devstack.kong.store import Store, Taken

NO_CONFIG = "0" * 32
_NAMESPACE = uuid.UUID("fd02801f-0957-4a15-a55a-c8d9606f30b5")  # Kong's, so that ids come out as Kong's
_ABOUT = {"_format_version", "_transform", "_comment", "_ignore"}
# (parent, list inside it) -> the field of the child that points up
_INSIDE = {
    ("services", "routes"): "service",
    ("services", "plugins"): "service",
    ("routes", "plugins"): "route",
    ("consumers", "plugins"): "consumer",
    ("consumers", "keyauth_credentials"): "consumer",
    ("consumers", "acls"): "consumer",
    ("upstreams", "targets"): "upstream",
}

Entities = dict[str, dict[str, Json]]
Place = tuple[str | int, ...]


@dataclass(slots=True)
class _Document:
    """The entities of a document, flat, and what is wrong with it, by place."""

    found: list[tuple[str, Json, Place]] = field(default_factory=list)
    problems: Json = field(default_factory=dict)

    def take(self, kind: str, items: Any, place: Place, parent: tuple[str, str] | None) -> None:
        """`items` and all that is inside them. `parent` is the field that points up, and the id there."""
        if not isinstance(items, list):
            self.report(place, "expected an array")
            return
        for number, given in enumerate(items):
            here = (*place, number)
            if not isinstance(given, dict):
                self.report(here, "expected a record")
                continue
            item = {name: value for name, value in given.items() if (kind, name) not in _INSIDE}
            if parent is not None:
                item[parent[0]] = {"id": parent[1]}
            item["id"] = item.get("id") or _id_of(kind, item)
            self.found.append((kind, item, here))
            for (holder, name), reference in _INSIDE.items():
                if holder == kind and given.get(name) is not None:
                    self.take(name, given[name], (*here, name), (reference, item["id"]))

    def report(self, place: Place, problem: Any) -> None:
        """Problems stand where the mistakes do: `{"services": [None, {"host": "…"}]}`."""
        target: Any = self.problems
        for step, after in zip(place, (*place[1:], None), strict=True):
            if after is None:
                empty: Any = problem
            else:
                empty = [] if isinstance(after, int) else {}
            if isinstance(step, int):
                target.extend([None] * (step + 1 - len(target)))
                target[step] = empty if target[step] is None else target[step]
            else:
                target.setdefault(step, empty)
            target = target[step]


def _id_of(kind: str, item: Json) -> str:
    """The same id for the same entity in each document, where its names tell which one it is."""
    name = _identity(kind, item)
    return new_id() if name is None else str(uuid.uuid5(uuid.uuid5(_NAMESPACE, kind), name))


def _identity(kind: str, item: Json) -> str | None:
    def text(name: str) -> str:
        value = item.get(name)
        return str(value.get("id", "")) if isinstance(value, dict) else str(value or "")

    if kind == "plugins":
        return ":".join(["plugins", "*", *map(text, ("name", "route", "service", "consumer"))])
    if kind == "acls":
        return ":".join(["acls", "*", text("consumer"), text("group")])
    if kind == "targets":
        return f"{text('upstream')}:{text('target')}"
    named = {"services": "name", "routes": "name", "consumers": "username", "upstreams": "name"}.get(kind)
    return text(named) or None if named else None


class Declarative:
    """Reads and writes the configuration as a whole."""

    def __init__(self, store: Store, collections: Collections) -> None:
        self._store = store
        self._collections = collections
        self.hash = NO_CONFIG

    def load_text(self, text: str, *, unless: str | None = None) -> Entities | None:
        """Load YAML or JSON, all or nothing; None when its hash is `unless`. Raises Refused."""
        try:
            tree = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise _invalid({"error": f"failed parsing declarative configuration: {error}"}) from error
        if not isinstance(tree, dict):
            raise _invalid({"error": "expected a table as the top level"})
        return self.load(tree, hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), unless=unless)

    def load(self, tree: Json, digest: str = "", *, unless: str | None = None) -> Entities | None:
        digest = digest or hashlib.md5(json.dumps(tree).encode(), usedforsecurity=False).hexdigest()
        if digest == unless:
            return None
        entities = self._read(tree)
        try:
            self._store.replace(entities)
        except Taken as taken:
            said = f"uniqueness violation: {lua_literal(taken.fields)} is declared twice"
            raise _invalid({"@entity": [said]}) from taken
        self.hash = digest
        return entities

    def _read(self, tree: Json) -> Entities:
        document = _Document()
        if str(tree.get("_format_version")) not in ("1.1", "2.1", "3.0"):
            document.report(("_format_version",), "required field missing" if "_format_version" not in tree
                            else "expected one of: 1.1, 2.1, 3.0")  # fmt: skip
        for kind, items in tree.items():
            if kind in ENTITIES:
                document.take(kind, items, (kind,), None)
            elif kind not in _ABOUT:
                document.report((kind,), "unknown field")
        entities: Entities = {kind: {} for kind in ENTITIES}
        for kind, item, place in document.found:
            try:
                entity = self._collections.complete(kind, self._with_references(kind, item, document))
            except Refused as refusal:
                if "fields" not in refusal.body:
                    raise
                for name, problem in refusal.body["fields"].items():
                    document.report((*place, name), problem)
            else:
                entities[kind][entity["id"]] = entity
        if document.problems:
            raise _invalid(document.problems)
        return {kind: held for kind, held in entities.items() if held}

    def _with_references(self, kind: str, item: Json, document: _Document) -> Json:
        """References by name or id, written as a text or as an object, become ids of what the document holds."""
        item = dict(item)
        for reference, target in ENTITIES[kind].references.items():
            value = item.get(reference)
            if value is None or target not in ENTITIES:
                continue
            wanted = next(iter(value.values()), None) if isinstance(value, dict) else value
            key = ENTITIES[target].name
            for other, candidate, _ in document.found:
                if other == target and wanted in (candidate["id"], candidate.get(key) if key else None):
                    item[reference] = {"id": candidate["id"]}
                    break
            else:
                said = f"invalid reference '{reference}: {wanted}' (no such entry in '{target}')"
                raise Refused(400, {"fields": {"@entity": [said]}})
        return item

    def export(self) -> str:
        """The configuration in force, as YAML."""
        out: dict[str, Any] = {"_format_version": "3.0", "_transform": False}
        for kind in ENTITIES:
            entities = [_flat(kind, entity) for entity in self._store.all(kind)]
            if entities:
                out[kind] = entities
        return yaml.dump(out, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _flat(kind: str, entity: Mapping[str, Any]) -> Json:
    references = ENTITIES[kind].references
    return {
        name: value["id"] if name in references and value else value
        for name, value in shown(kind, dict(entity)).items()
    }


class _Dumper(yaml.SafeDumper):
    """Writes a null as Kong does."""


_Dumper.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "~"))


def _invalid(problems: Json) -> Refused:
    message = f"declarative config is invalid: {lua_literal(problems)}"
    body = {"message": message, "fields": problems, "name": "invalid declarative configuration", "code": 14}
    return Refused(400, body)
