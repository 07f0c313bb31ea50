"""Rows of `category`."""

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.tables import category
from catalog.domain.api import Category


async def list_all(session: AsyncSession) -> list[Category]:
    """Every category, in the order in which they are shown."""
    rows = await session.execute(select(category.c.slug, category.c.name).order_by(category.c.position))
    return [Category(row.slug, row.name) for row in rows]


async def find_slug(session: AsyncSession, slug_or_name: str) -> str | None:
    """The slug of the category that is called so, in whatever case."""
    wanted = slug_or_name.strip().lower()
    named = or_(category.c.slug == wanted, func.lower(category.c.name) == wanted)
    slug: str | None = await session.scalar(select(category.c.slug).where(named))
    return slug
