"""What the caller wants to be told of by e-mail, in the organisation that their token acts for."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from accounts.db import memberships, notifications, proofs
from accounts.domain.errors import MemberNotFound
from accounts.domain.membership import Role
from common.http.auth import Member
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import Transaction

router = APIRouter(tags=["notifications"])
_PATH = "/v1/notification-preferences"


class Preferences(BaseModel):
    """`alerts`: of the organisation's alert rules. Owners and admins are told unless they say otherwise."""

    alerts: bool


@router.get(_PATH, responses=error_responses(MemberNotFound))
async def get_preferences(caller: Member, session: Transaction) -> Preferences:
    """What you are told of."""
    await proofs.user(session, caller.user_id)
    own = {"organisation_id": caller.organisation_id, "user_id": caller.user_id}
    membership = await memberships.find(session, **own)
    if membership is None:
        raise MemberNotFound
    said = await notifications.preference(session, **own)
    return Preferences(alerts=membership.role in (Role.OWNER, Role.ADMIN) if said is None else said)


@router.put(_PATH, responses=error_responses(MemberNotFound))
async def put_preferences(
    body: Preferences, caller: Member, session: Transaction, clock: ClockDep
) -> Preferences:
    """Say what you want to be told of, here and nowhere else."""
    await proofs.user(session, caller.user_id)
    own = {"organisation_id": caller.organisation_id, "user_id": caller.user_id}
    if await memberships.find(session, **own) is None:
        raise MemberNotFound
    await notifications.prefer(session, **own, alerts=body.alerts, now=clock.now())
    return body
