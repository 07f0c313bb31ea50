"""What we last wrote to Kong: so that a change need not ask Kong what stands there.

Written before the first write of a pass as not acknowledged, and after its last as acknowledged or gone. What is not
acknowledged may or may not stand in Kong: it differs from every wish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.domain.diff import Action, Change
from kong_sync.domain.drift import Key, Memory
from kong_sync.domain.entities import Concern, Entity, Kind, Owner

# What is known of an entity whatever became of the last write: where it hangs, and what it is part of.
_SURE = ("consumer", "service", "route", "tags")

_ALL = text("SELECT * FROM applied_entity")
_OF = text("""
    SELECT * FROM applied_entity WHERE (concern, owner_id) IN (
        SELECT * FROM unnest(CAST(:concerns AS text[]), CAST(:ids AS text[])))""")
_PUT = text("""
    INSERT INTO applied_entity (kind, id, concern, owner_id, fields, acknowledged)
    SELECT kind, id, concern, owner_id, CAST(fields AS jsonb), :acknowledged FROM unnest(
        CAST(:kinds AS text[]), CAST(:ids AS text[]), CAST(:concerns AS text[]), CAST(:owners AS text[]),
        CAST(:fields AS text[])) AS given (kind, id, concern, owner_id, fields)
    ON CONFLICT (kind, id) DO UPDATE SET
        concern = excluded.concern, owner_id = excluded.owner_id, fields = excluded.fields,
        acknowledged = excluded.acknowledged""")
_FORGET = text("""
    DELETE FROM applied_entity WHERE (kind, id) IN (
        SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:ids AS text[])))""")


def uncertain(entity: Entity) -> Entity:
    """`entity` as one whose last write was not acknowledged."""
    fields = {name: entity.fields[name] for name in _SURE if entity.fields.get(name)}
    return Entity(entity.kind, entity.id, entity.owner, fields)


async def everything(session: AsyncSession) -> Memory:
    """All that we wrote."""
    rows = (await session.execute(_ALL)).mappings().all()

    def made() -> Memory:
        memory: dict[bool, dict[Key, Entity]] = {True: {}, False: {}}
        for row in rows:
            entity = _entity(row)
            memory[row["acknowledged"]][entity.key] = entity
        return Memory(sure=memory[True], open=memory[False])

    return await asyncio.to_thread(made)  # of many rows, and stops must not wait


async def of_owners(session: AsyncSession, owners: Collection[Owner]) -> list[Entity]:
    """All that we wrote for `owners`."""
    of = {"concerns": [owner.concern.value for owner in owners], "ids": [owner.id for owner in owners]}
    return [_entity(row) for row in (await session.execute(_OF, of)).mappings()]


async def put(session: AsyncSession, entities: Iterable[Entity], *, acknowledged: bool) -> None:
    """Each of `entities` was written as it is, for sure or perhaps."""
    many = list(entities)
    if not many:
        return
    values = {
        "kinds": [e.kind.value for e in many], "ids": [e.id for e in many],
        "concerns": [e.owner.concern.value for e in many], "owners": [e.owner.id for e in many],
        "fields": [msgspec.json.encode(dict(e.fields)).decode() for e in many], "acknowledged": acknowledged,
    }  # fmt: skip
    await session.execute(_PUT, values)


async def forget(session: AsyncSession, keys: Collection[Key]) -> None:
    """None of `keys` stands in Kong."""
    if keys:
        await session.execute(_FORGET, {"kinds": [k.value for k, _ in keys], "ids": [id_ for _, id_ in keys]})


async def begin(session: AsyncSession, changes: Iterable[Change]) -> None:
    """Of everything that `changes` will touch it is open how it stands. What moves is still at its old place."""
    first: dict[Key, Entity] = {}
    for change in changes:
        first.setdefault(change.entity.key, change.entity)
    await put(session, first.values(), acknowledged=False)


async def acknowledge(session: AsyncSession, changes: Iterable[Change]) -> None:
    """Kong said yes to each of `changes`, in this order."""
    last = {change.entity.key: change for change in changes}
    written = [change.entity for change in last.values() if change.action is not Action.DELETE]
    await put(session, written, acknowledged=True)
    await forget(session, [key for key, change in last.items() if change.action is Action.DELETE])


def _entity(row: Any) -> Entity:
    entity = Entity(
        Kind(row["kind"]), row["id"], Owner(Concern(row["concern"]), row["owner_id"]), row["fields"]
    )
    return entity if row["acknowledged"] else uncertain(entity)
