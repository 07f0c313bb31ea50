"""Let nobody call from an address."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common.ids import new_id
from kong_sync.db import blocked, due
from kong_sync.domain.blocked import AT_MOST, AuditEntry, BlockedAddress, canonical_address
from kong_sync.domain.errors import AddressBlocked, TooManyAddresses


async def block_address(
    session: AsyncSession, address: str, *, reason: str | None, actor: UUID, now: datetime
) -> BlockedAddress:
    """Every API is due to refuse calls from `address`, and that `actor` said so is on record.

    AddressBlocked when they do already.
    """
    one = BlockedAddress(canonical_address(address), reason, now)
    if not await blocked.insert_if_absent(session, one):
        raise AddressBlocked(f"{one.address} is blocked already.")
    if await blocked.count(session) > AT_MOST:
        raise TooManyAddresses(f"At most {AT_MOST:,} addresses and networks: block wider ones instead.")
    await blocked.add_audit(session, AuditEntry(new_id(), now, actor, "block", one.address, reason))
    await due.note_all_apis(session)
    return one
