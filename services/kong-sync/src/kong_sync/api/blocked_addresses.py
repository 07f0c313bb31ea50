"""`/v1/gateway/blocked-addresses`: from where nobody may call, whatever the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from common.http.auth import PlatformAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, decode_cursor, encode_cursor, id_after, page_of
from kong_sync.db import blocked
from kong_sync.domain.errors import AddressBlocked, AddressInvalid, AddressUnknown, TooManyAddresses
from kong_sync.usecases.block_address import block_address
from kong_sync.usecases.unblock_address import unblock_address

router = APIRouter(prefix="/v1/gateway/blocked-addresses", tags=["gateway"])
Address = Annotated[str, StringConstraints(min_length=2, max_length=50, pattern=r"^[0-9A-Fa-f.:/ ]+$")]
Reason = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f]*$")]


class BlockIn(BaseModel):
    """An address or a network, and for the other operators why."""

    model_config = ConfigDict(extra="forbid")

    address: Address = Field(examples=["192.0.2.0/24"])
    reason: Reason | None = None


class BlockedOut(BaseModel):
    """One that is blocked, in the form in which it is named to be unblocked."""

    model_config = ConfigDict(from_attributes=True)

    address: str
    reason: str | None
    blocked_at: datetime


class BlockedPage(BaseModel):
    """Some of them."""

    items: list[BlockedOut]
    next_cursor: str | None


class BlockedAuditEntryOut(BaseModel):
    """Who blocked an address or let it in again, and when."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    at: datetime
    actor_user_id: UUID
    action: Literal["block", "unblock"]
    address: str
    reason: str | None


class BlockedAuditPage(BaseModel):
    """Some of them, the newest first."""

    items: list[BlockedAuditEntryOut]
    next_cursor: str | None


@router.get("/audit")
async def list_blocked_audit(
    _: PlatformAdmin, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> BlockedAuditPage:
    """Who blocked which address, and who let it in again."""
    found = await blocked.list_audit(session, before=id_after(cursor), limit=limit + 1)
    shown, next_cursor = page_of(found, limit=limit, key=lambda entry: entry.id)
    items = [BlockedAuditEntryOut.model_validate(entry) for entry in shown]
    return BlockedAuditPage(items=items, next_cursor=next_cursor)


@router.get("")
async def list_blocked(
    _: PlatformAdmin, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> BlockedPage:
    """All addresses that an operator blocked. What a provider blocks stands in its API's settings."""
    after = str(decode_cursor(cursor, parts=1)[0]) if cursor else None
    found = await blocked.list_page(session, after=after, limit=limit + 1)
    items = [BlockedOut.model_validate(one) for one in found[:limit]]
    return BlockedPage(
        items=items, next_cursor=encode_cursor(items[-1].address) if len(found) > limit else None
    )


@router.post("", status_code=201, responses=error_responses(AddressInvalid, AddressBlocked, TooManyAddresses))
async def block(body: BlockIn, caller: PlatformAdmin, session: Transaction, clock: ClockDep) -> BlockedOut:
    """Calls from there are answered 403 `IP_BLOCKED` as soon as the gateway has loaded it, by every API of ours."""
    one = await block_address(
        session, body.address, reason=body.reason, actor=caller.user_id, now=clock.now()
    )
    return BlockedOut.model_validate(one)


@router.delete("", status_code=204, responses=error_responses(AddressInvalid, AddressUnknown))
async def unblock(
    caller: PlatformAdmin, session: Transaction, clock: ClockDep,
    address: Annotated[Address, Query(examples=["192.0.2.0/24"])],
) -> None:  # fmt: skip
    """Calls from there are let in again."""
    await unblock_address(session, address, actor=caller.user_id, now=clock.now())
