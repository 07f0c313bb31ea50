"""The audit trail of the caller's organisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from accounts.api.schemas import AuditEntryOut, AuditPage
from accounts.db import audit
from common.http.auth import OrganisationAdmin
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, id_after, page_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.domain.audit import AuditEntry

router = APIRouter(tags=["audit"])


def audit_page(found: Sequence[AuditEntry], *, limit: int) -> AuditPage:
    """The page that shows `found`, which was asked for with one more than `limit`."""
    shown, next_cursor = page_of(found, limit=limit, key=lambda e: e.id)
    items = [
        AuditEntryOut(
            id=e.id,
            at=e.at,
            actor_user_id=e.actor.user_id,
            network=e.actor.network,
            organisation_id=e.organisation_id,
            action=e.action,
            target_id=e.target_id,
            before=dict(e.before),
            after=dict(e.after),
        )
        for e in shown
    ]
    return AuditPage(items=items, next_cursor=next_cursor)


@router.get("/v1/audit")
async def list_audit_entries(
    caller: OrganisationAdmin, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> AuditPage:
    """Who did what in your organisation, the newest first."""
    found = await audit.list_page(
        session, organisation_id=caller.organisation_id, before=id_after(cursor), limit=limit + 1
    )
    return audit_page(found, limit=limit)
