"""Everything that a database holds, as text."""

from __future__ import annotations

from sqlalchemy import text

from common.db import Database

_TABLES = text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")


async def everything_stored(worker_db: Database) -> str:
    """Each row of each table, bytes read as text where they are any."""
    found = []
    async with worker_db.begin() as session:
        for table in (await session.scalars(_TABLES)).all():
            if table == "alembic_version":
                continue
            for row in await session.execute(text(f'SELECT * FROM "{table}"')):
                found += [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in row]
    return "\n".join(found)
