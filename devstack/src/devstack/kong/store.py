"""Entities on disk and in memory. A change is committed before anybody is told of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from devstack.kong.entities import ENTITIES
from devstack.kong.fields import Json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entity (kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value REAL NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
"""

Change = tuple[str, Json | None, Json | None]  # kind, before, after
Listener = Callable[[list[Change]], None]


class Taken(Exception):
    """Another entity holds these values already."""

    def __init__(self, fields: Json) -> None:
        super().__init__("unique constraint violation")
        self.fields = fields


class Store:
    """All entities by kind and id, with an index for each unique constraint and each reference."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "kong.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(
            "PRAGMA synchronous=NORMAL"
        )  # survives kill -9; only a power cut may lose the newest
        self._db.executescript(_SCHEMA)
        self._entities: dict[str, dict[str, Json]] = {kind: {} for kind in ENTITIES}
        self._unique: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], str]] = {
            (kind, fields): {} for kind, entity in ENTITIES.items() for fields in entity.unique
        }
        self._children: dict[tuple[str, str, str], dict[str, None]] = {}
        self.listeners: list[Listener] = []
        for kind, body in self._db.execute("SELECT kind, body FROM entity ORDER BY kind, id"):
            if kind in ENTITIES:
                self._index(kind, json.loads(body))

    @property
    def db(self) -> sqlite3.Connection:
        return self._db

    def node_value(self, name: str, make: Callable[[], str]) -> str:
        """A value of this node that stays the same over restarts."""
        row = self._db.execute("SELECT value FROM node WHERE name = ?", (name,)).fetchone()
        if row is None:
            row = (make(),)
            self._db.execute("INSERT INTO node VALUES (?, ?)", (name, row[0]))
        return str(row[0])

    def close(self) -> None:
        self._db.close()

    def get(self, kind: str, entity_id: str) -> Json | None:
        return self._entities[kind].get(entity_id)

    def find(self, kind: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Json | None:
        """The entity that holds these unique values."""
        entity_id = self._unique[kind, fields].get(values)
        return None if entity_id is None else self._entities[kind][entity_id]

    def all(self, kind: str) -> Iterable[Json]:
        return self._entities[kind].values()

    def children(self, kind: str, reference: str, parent_id: str) -> Iterator[Json]:
        """Entities of `kind` whose field `reference` points at the parent, oldest write first."""
        held = self._entities[kind]
        return (held[child] for child in list(self._children.get((kind, reference, parent_id), ())))

    def conflict(self, kind: str, entity: Json) -> Json | None:
        """The first set of values that another entity holds already."""
        for fields in ENTITIES[kind].unique:
            values = _values(entity, fields)
            if values is None:
                continue
            holder = self._unique[kind, fields].get(values)
            if holder is not None and holder != entity["id"]:
                return {name: entity.get(name) for name in fields}
        return None

    def put(self, kind: str, entity: Json) -> None:
        """Write an entity, whole. Raises Taken when a unique value is another's."""
        taken = self.conflict(kind, entity)
        if taken is not None:
            raise Taken(taken)
        before = self._entities[kind].get(entity["id"])
        self._db.execute(
            "INSERT OR REPLACE INTO entity VALUES (?, ?, ?)",
            (kind, entity["id"], _encoded(entity)),
        )
        if before is not None:
            self._unindex(kind, before)
        self._index(kind, entity)
        self._tell([(kind, before, entity)])

    def replace(self, entities: dict[str, dict[str, Json]]) -> None:
        """These and no others, in one transaction. Raises Taken, and nothing has changed, when two claim one value."""
        before = self._entities
        after = {kind: dict(entities.get(kind, {})) for kind in ENTITIES}
        for kind in ENTITIES:
            for fields in ENTITIES[kind].unique:
                _refuse_repeated(after[kind].values(), fields)
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("DELETE FROM entity")
        rows = [(kind, each["id"], _encoded(each)) for kind in ENTITIES for each in after[kind].values()]
        self._db.executemany("INSERT INTO entity VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")
        self._entities = {kind: {} for kind in ENTITIES}
        self._children.clear()
        for held in self._unique.values():
            held.clear()
        for kind, each in after.items():
            for entity in each.values():
                self._index(kind, entity)
        gone = [(k, e, None) for k in ENTITIES for e in before[k].values() if e["id"] not in after[k]]
        here = [(k, before[k].get(e["id"]), e) for k in ENTITIES for e in after[k].values()]
        self._tell([*gone, *here])

    def delete(self, kind: str, entity_id: str) -> None:
        """Remove an entity and everything that goes with it, in one transaction."""
        doomed = list(self._with_children(kind, entity_id))
        self._db.execute("BEGIN IMMEDIATE")
        for child_kind, child in doomed:
            self._db.execute("DELETE FROM entity WHERE kind = ? AND id = ?", (child_kind, child["id"]))
        self._db.execute("COMMIT")
        for child_kind, child in doomed:
            self._unindex(child_kind, child)
        self._tell([(child_kind, child, None) for child_kind, child in doomed])

    def _with_children(self, kind: str, entity_id: str) -> Iterator[tuple[str, Json]]:
        entity = self._entities[kind].get(entity_id)
        if entity is None:
            return
        for child_kind in ENTITIES[kind].children:
            for reference, target in ENTITIES[child_kind].references.items():
                if target == kind:
                    for child in self.children(child_kind, reference, entity_id):
                        yield from self._with_children(child_kind, child["id"])
        yield kind, entity

    def _index(self, kind: str, entity: Json) -> None:
        self._entities[kind][entity["id"]] = entity
        for fields in ENTITIES[kind].unique:
            values = _values(entity, fields)
            if values is not None:
                self._unique[kind, fields][values] = entity["id"]
        for reference in ENTITIES[kind].references:
            if entity.get(reference):
                self._children.setdefault((kind, reference, entity[reference]["id"]), {})[entity["id"]] = None

    def _unindex(self, kind: str, entity: Json) -> None:
        del self._entities[kind][entity["id"]]
        for fields in ENTITIES[kind].unique:
            values = _values(entity, fields)
            if values is not None:
                self._unique[kind, fields].pop(values, None)
        for reference in ENTITIES[kind].references:
            if entity.get(reference):
                self._children[kind, reference, entity[reference]["id"]].pop(entity["id"], None)

    def _tell(self, changes: list[Change]) -> None:
        for listener in self.listeners:
            listener(changes)


def _values(entity: Json, fields: tuple[str, ...]) -> tuple[Any, ...] | None:
    """The values of a unique constraint. Alone, a null is no value; in a composite one it is a value."""
    values = tuple(v["id"] if isinstance(v := entity.get(name), dict) else v for name in fields)
    return None if len(fields) == 1 and values[0] is None else values


def _encoded(entity: Json) -> str:
    return json.dumps(entity, ensure_ascii=False, separators=(",", ":"))


def _refuse_repeated(entities: Iterable[Json], fields: tuple[str, ...]) -> None:
    seen = set()
    for entity in entities:
        values = _values(entity, fields)
        if values is not None and values in seen:
            raise Taken({name: entity.get(name) for name in fields})
        seen.add(values)
