"""The public list: published, public APIs by words, category and order, a keyset page at a time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Text, Uuid, case, cast, func, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.apis import select_apis, to_api
from catalog.db.tables import api, category
from catalog.domain.api import Api, Visibility
from catalog.domain.publishing import ApiStatus
from common.errors import Invalid

_WORD = re.compile(r"\w+")
_NO_FEE = 10**15


class Sort(StrEnum):
    """Orders of the list. POPULAR, the default: featured ones first, then by calls."""

    RELEVANCE = "relevance"
    POPULAR = "popular"
    NEWEST = "newest"
    PRICE = "price"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Filters:
    """What a visitor looks for."""

    words: str | None = None
    category: str | None = None
    tag: str | None = None

    @property
    def has_words(self) -> bool:
        """There is something to search for."""
        return bool(self.words and _WORD.search(self.words))


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the APIs, and the sort values of the last one when more follow."""

    items: list[Api]
    next_key: list[str | int | None] | None


async def search(
    session: AsyncSession, filters: Filters, *, sort: Sort, after: Sequence[str | int | None] | None,
    skip: int, limit: int,
) -> Page:  # fmt: skip
    """At most `limit` APIs, after the sort values `after` or after the first `skip` ones."""
    keys, descending = _order(sort, filters)
    row_key = tuple_(*keys)
    query = select_apis().add_columns(*[key.label(f"key_{n}") for n, key in enumerate(keys)])
    query = query.where(*_conditions(filters))
    query = query.order_by(*[key.desc() if descending else key.asc() for key in keys])
    if after is not None:
        bound = tuple_(*_bound(keys, after))
        query = query.where(row_key < bound if descending else row_key > bound)
    elif skip:
        query = query.offset(skip)
    rows = (await session.execute(query.limit(limit + 1))).all()
    names = [f"key_{n}" for n in range(len(keys))]
    items = [to_api(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return Page(items, None)
    last = rows[limit - 1]._mapping
    return Page(items, [last[name] if isinstance(last[name], int) else str(last[name]) for name in names])


async def count(session: AsyncSession, filters: Filters) -> int:
    """How many APIs `filters` find."""
    return await session.scalar(select(func.count()).select_from(api).where(*_conditions(filters))) or 0


async def count_by_category(session: AsyncSession, filters: Filters) -> list[tuple[str, str, int]]:
    """(slug, name, number) of each category in which the words and tag of `filters` find something."""
    wide = Filters(words=filters.words, tag=filters.tag)
    query = (
        select(category.c.slug, category.c.name, func.count())
        .join(api, api.c.category == category.c.slug)
        .where(*_conditions(wide))
        .group_by(category.c.slug, category.c.name, category.c.position)
        .order_by(category.c.position)
    )
    return [(slug, name, number) for slug, name, number in await session.execute(query)]


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    found = [
        api.c.status == ApiStatus.PUBLISHED.value,
        api.c.visibility == Visibility.PUBLIC.value,
    ]
    if filters.has_words:
        found.append(or_(*[api.c.search.op("@@")(query) for query in _queries(filters)]))
    elif filters.words:
        found.append(literal(value=False))
    if filters.category is not None:
        found.append(api.c.category == filters.category)
    if filters.tag is not None:
        found.append(api.c.tags.contains([filters.tag]))
    return found


def _queries(filters: Filters) -> list[ColumnElement[Any]]:
    """The words as a search engine reads them, and each as the beginning of a word: `curr` finds currency."""
    words = filters.words or ""
    prefixes = " & ".join(f"{word}:*" for word in _WORD.findall(words)[:10])
    return [
        func.websearch_to_tsquery("english", words),
        func.to_tsquery("english", prefixes),
        func.to_tsquery("simple", prefixes),
    ]


def _order(sort: Sort, filters: Filters) -> tuple[list[ColumnElement[Any]], bool]:
    """The sort keys, all in one direction, the id last so that no two APIs are equal; and whether descending."""
    if sort is Sort.RELEVANCE and filters.has_words:
        ranks = [func.ts_rank(api.c.search, query) for query in _queries(filters)]
        return [cast(func.greatest(*ranks) * 1_000_000, BigInteger), api.c.id], True
    if sort is Sort.NEWEST:
        # Microseconds as a whole number: a cursor holds it exactly.
        return [cast(func.extract("epoch", api.c.published_at) * 1_000_000, BigInteger), api.c.id], True
    if sort is Sort.PRICE:
        return [func.coalesce(api.c.lowest_fee, _NO_FEE, type_=BigInteger), api.c.id], False
    if sort is Sort.NAME:
        return [func.lower(api.c.name, type_=Text), api.c.id], False
    return [case((api.c.featured, literal(1, BigInteger)), else_=0), api.c.total_calls, api.c.id], True


def _bound(keys: Sequence[ColumnElement[Any]], after: Sequence[str | int | None]) -> list[ColumnElement[Any]]:
    """The cursor's values as literals of the keys' types; Invalid when the cursor belongs to another order."""
    wrong = Invalid(
        "This cursor belongs to another order of the list: start again without it.", field="cursor"
    )
    if len(after) != len(keys):
        raise wrong
    values: list[ColumnElement[Any]] = []
    for key, value in zip(keys, after, strict=True):
        wants_number = isinstance(key.type, BigInteger)
        if value is None or isinstance(value, int) is not wants_number:
            raise wrong
        values.append(literal(_as_uuid(str(value), wrong) if isinstance(key.type, Uuid) else value, key.type))
    return values


def _as_uuid(text: str, wrong: Invalid) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise wrong from None
