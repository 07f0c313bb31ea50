"""The desired state as a decK file."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any

import yaml

from common.db import Database, Scope
from kong_sync.clients.errors import KongUnavailable
from kong_sync.clients.gateway import Gateway
from kong_sync.db import copies
from kong_sync.domain.deck import deck_file
from kong_sync.domain.desired import desired_entities
from kong_sync.domain.entities import Entity


async def export_state(db: Database, gateway: Gateway, *, now: datetime) -> str:
    """The text of the file: what our tables ask for, whether or not Kong has it yet.

    What changes with every generation of the canary is as it stands in Kong; where Kong does not answer, the three
    entities of the canary are left out.
    """
    async with db.begin(Scope(platform_admin=True)) as session:
        tables = await copies.all_tables(session)
    desired = desired_entities(tables, gateway.edge, generation="", now=now)
    try:
        seen = {entity.key: await _as_it_stands(gateway, entity) for entity in desired if entity.volatile}
    except KongUnavailable:
        seen = {entity.key: None for entity in desired if entity.volatile}
    entities = [seen.get(entity.key, entity) for entity in desired]
    document = deck_file(gateway.edge, [entity for entity in entities if entity is not None])
    return await asyncio.to_thread(_text, document)  # seconds for a large marketplace


async def _as_it_stands(gateway: Gateway, entity: Entity) -> Entity | None:
    found = await gateway.admin.find(entity.kind, entity.id) if gateway.enabled else None
    if found is None:
        return None
    volatile = {name: found[name] for name in entity.volatile}
    return replace(entity, fields={**entity.fields, **volatile})


class _Dumper(yaml.SafeDumper):
    """Every value in its place, and texts of several lines as they are read."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _text(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
