from __future__ import annotations

from uuid import UUID

import pytest

from accounts.domain.errors import LastOwner, RoleTooLow
from accounts.domain.membership import Role, check_change, check_grant, check_removal
from tests.accounts.factories import a_membership

OTHER = UUID("01900000-0000-7000-8000-0000000000b2")
ABOVE = {Role.OWNER: set(Role), Role.ADMIN: sorted(set(Role) - {Role.OWNER})}


@pytest.mark.parametrize("actor", Role)
@pytest.mark.parametrize("role", Role)
def test_owners_give_every_role_and_admins_all_but_owner(actor: Role, role: Role) -> None:
    if role in ABOVE.get(actor, set()):
        check_grant(actor, role)
    else:
        with pytest.raises(RoleTooLow):
            check_grant(actor, role)


def test_an_admin_can_neither_lower_an_owner_nor_raise_itself_to_one() -> None:
    admin, owner = a_membership(role=Role.ADMIN), a_membership(user_id=OTHER)
    with pytest.raises(RoleTooLow):
        check_change(admin, owner, to=Role.VIEWER, owners=2)
    with pytest.raises(RoleTooLow):
        check_change(admin, admin, to=Role.OWNER, owners=1)


def test_the_last_owner_stays_owner_and_stays_member() -> None:
    owner = a_membership()
    with pytest.raises(LastOwner):
        check_change(owner, owner, to=Role.ADMIN, owners=1)
    with pytest.raises(LastOwner):
        check_removal(owner, owner, owners=1)
    check_change(owner, owner, to=Role.ADMIN, owners=2)
    check_removal(owner, owner, owners=2)


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.OWNER}))
def test_everybody_else_may_leave(role: Role) -> None:
    me = a_membership(role=role)
    check_removal(me, me, owners=1)


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.BILLING, Role.VIEWER])
def test_below_admin_nobody_removes_another(role: Role) -> None:
    with pytest.raises(RoleTooLow):
        check_removal(a_membership(role=role), a_membership(user_id=OTHER, role=Role.VIEWER), owners=1)
