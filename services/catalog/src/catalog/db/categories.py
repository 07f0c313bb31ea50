"""Rows of `category`."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.tables import category
from catalog.domain.api import Category


async def list_all(session: AsyncSession) -> list[Category]:
    """Every category, in the order in which they are shown."""
    rows = await session.execute(select(category.c.slug, category.c.name).order_by(category.c.position))
    return [Category(row.slug, row.name) for row in rows]


async def exists(session: AsyncSession, slug: str) -> bool:
    """There is such a category."""
    return await session.scalar(select(category.c.slug).where(category.c.slug == slug)) is not None
