"""Rows of `openapi_document` and `endpoint`."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Text, delete, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.tables import endpoint, openapi_document
from catalog.domain.api import ApiVersion, Endpoint
from catalog.domain.errors import DocumentNotFound
from catalog.domain.openapi.document import Document

_BATCH = 500


async def put(session: AsyncSession, version: ApiVersion, document: Document, *, now: datetime) -> None:
    """The version's document is this one."""
    values = {
        "version_id": version.id,
        "provider_organisation_id": version.provider_organisation_id,
        "content": document.content,
        "sha256": hashlib.sha256(document.content.encode()).hexdigest(),
        "openapi": document.openapi,
        "title": document.title,
        "warnings": [asdict(warning) for warning in document.warnings],
        "uploaded_at": now,
    }
    statement = insert(openapi_document).values(values)
    changed = {name: value for name, value in values.items() if name != "version_id"}
    await session.execute(statement.on_conflict_do_update(index_elements=["version_id"], set_=changed))


async def get_content(session: AsyncSession, version: ApiVersion) -> tuple[str, str]:
    """The document's text, as JSON, and its SHA-256; DocumentNotFound when none was uploaded."""
    query = select(openapi_document.c.content, openapi_document.c.sha256)
    row = (await session.execute(query.where(openapi_document.c.version_id == version.id))).first()
    if row is None:
        raise DocumentNotFound(version.name)
    return row.content, row.sha256


async def list_endpoints(
    session: AsyncSession, version_id: UUID, *, after: int | None = None, limit: int = 100_000
) -> list[tuple[int, Endpoint]]:
    """The version's endpoints with their positions, in the document's order, at most `limit` behind `after`."""
    query = (
        select(endpoint).where(endpoint.c.version_id == version_id).order_by(endpoint.c.position).limit(limit)
    )
    if after is not None:
        query = query.where(endpoint.c.position > after)
    return [(row.position, _to_endpoint(row)) for row in await session.execute(query)]


async def replace_endpoints(
    session: AsyncSession, version: ApiVersion, endpoints: Sequence[Endpoint]
) -> None:
    """The version's endpoints are these. One that stays (same method and path) keeps its id and weight."""
    kept = [(item.path, item.method) for item in endpoints]
    gone = delete(endpoint).where(endpoint.c.version_id == version.id)
    if kept:
        gone = gone.where(tuple_(endpoint.c.path, endpoint.c.method).not_in(_pairs(kept)))
    await session.execute(gone)
    values = [_values(item, version, position) for position, item in enumerate(endpoints)]
    for start in range(0, len(values), _BATCH):
        statement = insert(endpoint).values(values[start : start + _BATCH])
        derived = {
            column.name: statement.excluded[column.name]
            for column in endpoint.c
            if column.name not in {"id", "version_id", "provider_organisation_id", "method", "path", "weight"}
        }
        await session.execute(
            statement.on_conflict_do_update(index_elements=["version_id", "path", "method"], set_=derived)
        )


def _pairs(pairs: Sequence[tuple[str, str]]) -> Any:
    """The pairs as two arrays: a list of values breaks past 32,767 parameters."""
    paths = literal([path for path, _ in pairs], ARRAY(Text))
    methods = literal([method for _, method in pairs], ARRAY(Text))
    unnested = func.unnest(paths, methods).table_valued("path", "method").render_derived()
    return select(unnested.c.path, unnested.c.method)


def _to_endpoint(row: Row[Any]) -> Endpoint:
    values = dict(row._mapping)
    del values["position"], values["provider_organisation_id"]
    lists = ("tags", "parameters", "request_types", "responses")
    scopes = None if row.scopes is None else tuple(row.scopes)
    return Endpoint(**values | {name: tuple(values[name]) for name in lists} | {"scopes": scopes})


def _values(item: Endpoint, version: ApiVersion, position: int) -> dict[str, Any]:
    values: dict[str, Any] = {column.name: getattr(item, column.name, None) for column in endpoint.c}
    lists = ("tags", "parameters", "request_types", "responses")
    return (
        values
        | {name: list(values[name]) for name in lists}
        | {"scopes": None if item.scopes is None else list(item.scopes)}
        | {"position": position, "provider_organisation_id": version.provider_organisation_id}
    )
