from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.accounts.api.people import People, Person, claims_of


def path(person: Person, member: Person | None = None) -> str:
    base = f"/v1/organisations/{person.organisation}/members"
    return base if member is None else f"{base}/{member.id}"


async def test_an_owner_adds_somebody_who_then_acts_for_the_organisation(people: People) -> None:
    ada = await people.founder()
    bob = await people.join(ada, "bob", "developer")
    assert bob.organisation == ada.organisation
    listed = (await people.client.get(path(ada), headers=bob.headers)).json()["items"]
    assert [(m["email"], m["role"]) for m in listed] == [
        ("ada@example.test", "owner"),
        ("bob@example.test", "developer"),
    ]


async def test_only_a_verified_address_of_somebody_who_signed_in_is_found(people: People) -> None:
    ada = await people.founder()
    await people.exchange("eve", email="bob@example.test", email_verified=False)
    body = {"email": "bob@example.test", "role": "viewer"}
    missing = await people.client.post(path(ada), json=body, headers=ada.headers)
    assert (missing.status_code, missing.json()["code"]) == (404, "USER_NOT_FOUND")
    await people.sign_in("bob")
    body["email"] = " BOB@Example.test".strip()
    assert (await people.client.post(path(ada), json=body, headers=ada.headers)).status_code == 201
    again = await people.client.post(path(ada), json=body, headers=ada.headers)
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_A_MEMBER")


async def test_an_admin_makes_no_owner_and_touches_none(people: People) -> None:
    ada = await people.founder()
    bob = await people.join(ada, "bob", "admin")
    await people.sign_in("eve")
    made = await people.client.post(
        path(bob), json={"email": "eve@example.test", "role": "owner"}, headers=bob.headers
    )
    raised = await people.client.patch(path(bob, bob), json={"role": "owner"}, headers=bob.headers)
    removed = await people.client.delete(path(bob, ada), headers=bob.headers)
    for answer in (made, raised, removed):
        assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_TOO_LOW")


async def test_a_role_taken_away_counts_at_once_although_the_token_still_says_it(people: People) -> None:
    ada = await people.founder()
    bob = await people.join(ada, "bob", "owner")
    lowered = await people.client.patch(path(ada, bob), json={"role": "viewer"}, headers=ada.headers)
    assert lowered.json() == {"user_id": str(bob.id), "role": "viewer"}
    back = await people.client.patch(path(bob, bob), json={"role": "owner"}, headers=bob.headers)
    assert (back.status_code, back.json()["code"]) == (403, "ROLE_TOO_LOW")


async def test_a_removed_member_gets_no_token_and_changes_nothing(people: People) -> None:
    ada = await people.founder()
    bob = await people.join(ada, "bob", "owner")
    assert (await people.client.delete(path(ada, bob), headers=ada.headers)).status_code == 204
    assert (await people.exchange("bob", "acme")).json()["code"] == "NOT_A_MEMBER"
    answer = await people.client.delete(path(bob, ada), headers=bob.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "MEMBER_NOT_FOUND")


async def test_a_viewer_may_leave_and_the_last_owner_may_not(people: People) -> None:
    ada = await people.founder()
    bob = await people.join(ada, "bob", "viewer")
    assert (await people.client.delete(path(bob, bob), headers=bob.headers)).status_code == 204
    answer = await people.client.delete(path(ada, ada), headers=ada.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "LAST_OWNER")


@pytest.mark.concurrent
async def test_two_owners_who_lower_each_other_at_once_leave_one(people: People) -> None:
    ada = await people.founder()
    bob = await people.join(ada, "bob", "owner")

    async def lower(actor: Person, target: Person) -> Any:
        return await people.client.patch(path(ada, target), json={"role": "viewer"}, headers=actor.headers)

    answers = await asyncio.gather(lower(ada, bob), lower(bob, ada))
    assert sorted(a.status_code for a in answers) in ([200, 403], [200, 409])
    roles = [
        claims_of((await people.exchange(name, "acme")).json()["access_token"])["role"]
        for name in ("ada", "bob")
    ]
    assert sorted(roles) == ["owner", "viewer"]


async def test_other_organisations_members_are_out_of_reach(people: People) -> None:
    ada, eve = await people.founder("ada", "acme"), await people.founder("eve", "evil")
    for method, url, body in (
        ("GET", path(ada), None),
        ("POST", path(ada), {"email": "eve@example.test", "role": "viewer"}),
        ("PATCH", path(ada, ada), {"role": "viewer"}),
        ("DELETE", path(ada, ada), None),
    ):
        answer = await people.client.request(method, url, json=body, headers=eve.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "ORGANISATION_NOT_FOUND")


async def test_every_change_of_members_is_on_record_for_admins(people: People) -> None:
    ada = await people.founder()
    bob = await people.join(ada, "bob", "viewer")
    await people.client.patch(path(ada, bob), json={"role": "admin"}, headers=ada.headers)
    await people.client.patch(path(ada, bob), json={"role": "admin"}, headers=ada.headers)
    await people.client.delete(path(ada, bob), headers=ada.headers)
    entries = (await people.client.get("/v1/audit", headers=ada.headers)).json()["items"]
    assert [(e["action"], e["before"], e["after"]) for e in entries[:3]] == [
        ("member.removed", {"role": "admin"}, {}),
        ("member.role_changed", {"role": "viewer"}, {"role": "admin"}),
        ("member.added", {}, {"role": "viewer"}),
    ]
    assert "@" not in str(entries)
