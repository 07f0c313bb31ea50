"""Let an address call again."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.db import blocked, due
from kong_sync.domain.blocked import canonical_address
from kong_sync.domain.errors import AddressUnknown


async def unblock_address(session: AsyncSession, address: str) -> None:
    """Every API is due to let it in again, where its provider does not block it; AddressUnknown if nobody had."""
    if not await blocked.remove(session, canonical_address(address)):
        raise AddressUnknown("This address is not blocked. A network is named as it was when it was blocked.")
    await due.note_all_apis(session)
