"""Let an address call again."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common.ids import new_id
from kong_sync.db import blocked, due
from kong_sync.domain.blocked import AuditEntry, canonical_address
from kong_sync.domain.errors import AddressUnknown


async def unblock_address(session: AsyncSession, address: str, *, actor: UUID, now: datetime) -> None:
    """Every API is due to let it in again, where its provider does not block it, and who said so is on record.

    AddressUnknown if nobody had blocked it.
    """
    canonical = canonical_address(address)
    if not await blocked.remove(session, canonical):
        raise AddressUnknown("This address is not blocked. A network is named as it was when it was blocked.")
    await blocked.add_audit(session, AuditEntry(new_id(), now, actor, "unblock", canonical))
    await due.note_all_apis(session)
