from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from common.db import Database
from tests.accounts.api.people import People, Person, claims_of
from tests.accounts.stored import everything_stored
from tests.support.clock import NOON, FixedClock


async def make(people: People, person: Person, **overrides: Any) -> dict[str, Any]:
    body = {"name": "ci", "expires_at": (NOON + timedelta(days=30)).isoformat()} | overrides
    answer = await people.client.post("/v1/access-tokens", json=body, headers=person.headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


async def exchange(people: People, token: str, organisation: str | None = None) -> Any:
    body = {"subject_token": token, "organisation": organisation}
    return await people.client.post("/v1/token", json=body)


async def test_a_token_acts_for_its_owner_in_its_organisation(people: People) -> None:
    ada = await people.founder("ada", "acme")
    await people.founder("ada", "beta")
    made = await make(people, ada)
    said = claims_of((await exchange(people, made["token"])).json()["access_token"])
    assert (said["sub"], said["org_slug"], said["role"]) == (str(ada.id), "acme", "owner")
    for other in ("beta", "no-such"):
        assert (await exchange(people, made["token"], other)).json()["code"] == "NOT_A_MEMBER"


async def test_an_operators_token_does_not_act_as_operator(people: People) -> None:
    root = await people.founder("root", "operators")
    made = await make(people, root)
    said = claims_of((await exchange(people, made["token"])).json()["access_token"])
    assert "platform_role" not in said


async def test_a_token_ends_when_revoked_expired_or_when_its_owner_leaves(
    people: People, clock: FixedClock
) -> None:
    ada = await people.founder()
    bob = await people.join(ada, "bob", "viewer")
    revoked, kept, bobs = await make(people, ada), await make(people, ada), await make(people, bob)
    gone = await people.client.delete(f"/v1/access-tokens/{revoked['id']}", headers=ada.headers)
    assert gone.status_code == 204
    await people.client.delete(f"/v1/organisations/{ada.organisation}/members/{bob.id}", headers=ada.headers)
    assert (await exchange(people, revoked["token"])).status_code == 401
    assert (await exchange(people, bobs["token"])).json()["code"] == "NOT_A_MEMBER"
    assert (await exchange(people, kept["token"])).status_code == 200
    clock.advance(days=30)
    assert (await exchange(people, kept["token"])).status_code == 401


async def test_a_token_is_seen_and_revoked_by_its_owner_only(people: People) -> None:
    ada = await people.founder()
    bob = await people.join(ada, "bob", "owner")
    made = await make(people, ada)
    assert (await people.client.get("/v1/access-tokens", headers=bob.headers)).json()["items"] == []
    refused = await people.client.delete(f"/v1/access-tokens/{made['id']}", headers=bob.headers)
    assert (refused.status_code, refused.json()["code"]) == (404, "ACCESS_TOKEN_NOT_FOUND")
    await exchange(people, made["token"])
    (listed,) = (await people.client.get("/v1/access-tokens", headers=ada.headers)).json()["items"]
    assert listed["prefix"] == made["token"][:12]
    assert listed["last_used_at"] is not None
    assert "token" not in listed


async def test_a_replay_does_not_show_the_token_again(people: People) -> None:
    ada = await people.founder()
    headers = ada.headers | {"Idempotency-Key": "make-one"}
    body = {"name": "ci", "expires_at": (NOON + timedelta(days=1)).isoformat()}
    first = await people.client.post("/v1/access-tokens", json=body, headers=headers)
    again = await people.client.post("/v1/access-tokens", json=body, headers=headers)
    assert first.json()["token"].startswith("mkp_")
    assert again.json() == first.json() | {"token": None}


@pytest.mark.parametrize("days", [-1, 400])
async def test_an_end_outside_a_year_is_refused(people: People, days: int) -> None:
    ada = await people.founder()
    body = {"name": "ci", "expires_at": (NOON + timedelta(days=days)).isoformat()}
    answer = await people.client.post("/v1/access-tokens", json=body, headers=ada.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_EXPIRY")


async def test_no_token_of_any_kind_is_stored_or_logged(
    people: People, worker_db: Database, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    ada = await people.founder()
    made = await make(people, ada)
    presented = people.issuer.token("ada")
    issued = (await people.client.post("/v1/token", json={"subject_token": presented})).json()
    await exchange(people, made["token"])
    await exchange(people, made["token"][:-1] + "!")
    await people.client.post("/v1/token", json={"subject_token": presented[:-4]})
    await people.client.post("/v1/token", json={"subject_token": [presented]})
    # The secret part of each: a name or a prefix may well be stored.
    secrets = [made["token"][12:-6], presented.split(".")[2], issued["access_token"].split(".")[2]]
    stored = await everything_stored(worker_db)
    captured = capfd.readouterr()
    for place in (stored, caplog.text, captured.out, captured.err):
        assert not any(secret in place for secret in secrets)
    assert made["prefix"] in stored
