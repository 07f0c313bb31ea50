"""Rows of `api`, each joined with what the gateway and metering last said about it."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.tables import api, api_statistics, gateway_state
from catalog.domain.api import Api, Gateway, Statistics, Visibility
from catalog.domain.api_settings import ApiSettings, changed_settings
from catalog.domain.errors import ApiNotFound
from catalog.domain.publishing import ApiStatus

_MEASURED = tuple(field.name for field in fields(Statistics))
_OWN = [column for column in api.c if column.name != "search"]
# What an update may change: an API never moves to another provider and keeps its slug, the gateway's path.
_FIXED = {"id", "provider_organisation_id", "slug", "created_at", "search", "total_calls"}


def select_apis() -> Select[Any]:
    """Every API with its gateway state and its statistics."""
    gateway = [gateway_state.c.state, gateway_state.c.reason, gateway_state.c.proxy_url]
    measured = [api_statistics.c[name] for name in _MEASURED]
    joined = api.outerjoin(gateway_state, gateway_state.c.api_id == api.c.id)
    return select(
        *_OWN,
        *[column.label(f"gateway_{column.name}") for column in gateway],
        *[column.label(f"measured_{column.name}") for column in measured],
    ).select_from(joined.outerjoin(api_statistics, api_statistics.c.api_id == api.c.id))


def to_api(row: Row[Any]) -> Api:
    """The row as a value; sort keys that a query added are left out."""
    values = {name: value for name, value in row._mapping.items() if not name.startswith("key_")}
    state, reason, proxy_url = (values.pop(f"gateway_{name}") for name in ("state", "reason", "proxy_url"))
    measured = {name: values.pop(f"measured_{name}") for name in _MEASURED}
    return Api(
        **values
        | {
            "status": ApiStatus(values["status"]),
            "visibility": Visibility(values["visibility"]),
            "tags": tuple(values["tags"]),
            "cors_origins": tuple(values["cors_origins"]),
            "settings": changed_settings(ApiSettings(), values["settings"]),
            "gateway": Gateway(state, reason, proxy_url) if state else None,
            "statistics": Statistics(**measured) if measured["measured_at"] else None,
        }
    )


async def get(session: AsyncSession, api_id: UUID) -> Api:
    """The API as the session's scope may see it, or ApiNotFound."""
    row = (await session.execute(select_apis().where(api.c.id == api_id))).first()
    if row is None:
        raise ApiNotFound(api_id=str(api_id))
    return to_api(row)


async def get_own(session: AsyncSession, api_id: UUID, *, organisation_id: UUID) -> Api:
    """The organisation's API, locked until the transaction ends, so that changes to it take turns."""
    query = select_apis().where(api.c.id == api_id, api.c.provider_organisation_id == organisation_id)
    row = (await session.execute(query.with_for_update(of=api))).first()
    if row is None:
        raise ApiNotFound(api_id=str(api_id))
    return to_api(row)


async def get_locked(session: AsyncSession, api_id: UUID) -> Api:
    """Any API, locked; for operators of the marketplace."""
    row = (await session.execute(select_apis().where(api.c.id == api_id).with_for_update(of=api))).first()
    if row is None:
        raise ApiNotFound(api_id=str(api_id))
    return to_api(row)


async def get_by_slugs(session: AsyncSession, *, provider: str, slug: str) -> Api:
    """The API at the path `/provider/slug`, or ApiNotFound."""
    query = select_apis().where(api.c.provider_slug == provider, api.c.slug == slug)
    row = (await session.execute(query)).first()
    if row is None:
        raise ApiNotFound(provider=provider, slug=slug)
    return to_api(row)


async def list_own(
    session: AsyncSession, *, organisation_id: UUID, after: UUID | None, limit: int
) -> list[Api]:
    """The organisation's APIs, drafts too, the newest first; at most `limit` below the id `after`."""
    query = select_apis().where(api.c.provider_organisation_id == organisation_id)
    if after is not None:
        query = query.where(api.c.id < after)
    rows = await session.execute(query.order_by(api.c.id.desc()).limit(limit))
    return [to_api(row) for row in rows]


async def list_by_status(
    session: AsyncSession, status: ApiStatus, *, after: UUID | None, limit: int
) -> list[Api]:
    """APIs in this status in the order of their ids, at most `limit` above the id `after`."""
    query = select_apis().where(api.c.status == status.value).order_by(api.c.id).limit(limit)
    rows = await session.execute(query if after is None else query.where(api.c.id > after))
    return [to_api(row) for row in rows]


async def all_after(session: AsyncSession, after: UUID | None, *, limit: int) -> list[Api]:
    """Every API in id order, a batch at a time; for publishing them again."""
    query = select_apis().order_by(api.c.id).limit(limit)
    rows = await session.execute(query if after is None else query.where(api.c.id > after))
    return [to_api(row) for row in rows]


async def lock_of_provider(session: AsyncSession, organisation_id: UUID) -> list[Api]:
    """All APIs of a provider, locked in id order."""
    query = select_apis().where(api.c.provider_organisation_id == organisation_id).order_by(api.c.id)
    return [to_api(row) for row in await session.execute(query.with_for_update(of=api))]


async def insert_if_absent(session: AsyncSession, new: Api) -> bool:
    """Whether the API is new; False when its provider has one with this slug."""
    # The trigger computes `search`; NOT NULL is checked after it.
    statement = insert(api).values(_values(new)).on_conflict_do_nothing().returning(api.c.id)
    return (await session.execute(statement)).first() is not None


async def update_api(session: AsyncSession, changed: Api) -> None:
    """The row is as `changed` says. Its caller holds the row's lock."""
    values = {name: value for name, value in _values(changed).items() if name not in _FIXED}
    await session.execute(update(api).where(api.c.id == changed.id).values(values))


async def delete_api(session: AsyncSession, api_id: UUID) -> None:
    """The API and all that hangs on it are gone."""
    await session.execute(delete(api).where(api.c.id == api_id))


async def count_public(session: AsyncSession, provider_slug: str) -> int:
    """How many APIs of the provider everybody finds."""
    query = select(func.count()).where(
        api.c.provider_slug == provider_slug,
        api.c.status == ApiStatus.PUBLISHED.value,
        api.c.visibility == Visibility.PUBLIC.value,
    )
    return await session.scalar(query) or 0


def _values(value: Api) -> dict[str, Any]:
    plain: dict[str, Any] = {column.name: getattr(value, column.name) for column in _OWN}
    lists: Sequence[str] = ("tags", "cors_origins")
    return plain | {name: list(plain[name]) for name in lists} | {"settings": value.settings.to_wire()}
