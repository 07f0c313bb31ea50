"""Rows of `gateway_state`, the copy of what kong-sync reports."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.tables import gateway_state
from catalog.domain.api import Gateway


async def put(session: AsyncSession, api_id: UUID, gateway: Gateway, *, version: int) -> None:
    """What is known of the API at the gateway is this, unless something newer is known."""
    values = {
        "version": version,
        "state": gateway.state,
        "reason": gateway.reason,
        "proxy_url": gateway.proxy_url,
    }
    statement = insert(gateway_state).values(api_id=api_id, **values)
    newer = statement.excluded.version > gateway_state.c.version
    await session.execute(
        statement.on_conflict_do_update(index_elements=["api_id"], set_=values, where=newer)
    )
