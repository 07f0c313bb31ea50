"""Who belongs to an organisation, in which role, and who may change that."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from accounts.domain.errors import LastOwner, RoleTooLow

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class Role(StrEnum):
    """What a member may do in its organisation."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    BILLING = "billing"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Membership:
    """One person's role in one organisation."""

    organisation_id: UUID
    user_id: UUID
    role: Role
    created_at: datetime


def check_grant(actor: Role, role: Role) -> None:
    """Passes when `actor` may give `role` to somebody: admins give any role but owner's, owners give all."""
    if actor is Role.OWNER or (actor is Role.ADMIN and role is not Role.OWNER):
        return
    raise RoleTooLow(actor)


def check_change(actor: Membership, target: Membership, *, to: Role, owners: int) -> None:
    """Passes when `actor` may give `target` the role `to`; `owners` counts the owners before the change."""
    check_grant(actor.role, target.role)  # an admin may not touch an owner
    check_grant(actor.role, to)
    if target.role is Role.OWNER and to is not Role.OWNER and owners <= 1:
        raise LastOwner


def check_removal(actor: Membership, target: Membership, *, owners: int) -> None:
    """Passes when `actor` may end `target`'s membership; everybody may leave, except the last owner."""
    if actor.user_id != target.user_id:
        check_grant(actor.role, target.role)
    if target.role is Role.OWNER and owners <= 1:
        raise LastOwner
