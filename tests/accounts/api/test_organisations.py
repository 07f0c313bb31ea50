from __future__ import annotations

import asyncio

import pytest

from accounts.events.organisation_changed import OrganisationChanged
from common.db import Database
from tests.accounts.api.people import People
from tests.support.outbox import outbox_events

TOPIC = OrganisationChanged.topic


async def test_founding_makes_an_owner_an_event_and_an_audit_entry(
    people: People, worker_db: Database
) -> None:
    ada = await people.founder("ada", "acme")
    (event,) = await outbox_events(worker_db, TOPIC)
    assert event["payload"] == {
        "organisation_id": str(ada.organisation),
        "version": 1,
        "slug": "acme",
        "name": "Acme",
        "status": "active",
    }
    assert event["key"] == str(ada.organisation)
    (entry,) = (await people.client.get("/v1/audit", headers=ada.headers)).json()["items"]
    assert (entry["action"], entry["actor_user_id"], entry["network"]) == (
        "organisation.founded",
        str(ada.id),
        "192.0.2.0/24",
    )


async def test_a_slug_belongs_to_one_organisation_also_when_two_ask_at_once(
    people: People, worker_db: Database
) -> None:
    callers = [await people.sign_in(name) for name in ("ada", "bob", "eve")]
    body = {"slug": "acme", "name": "Acme"}
    answers = await asyncio.gather(
        *(people.client.post("/v1/organisations", json=body, headers=c.headers) for c in callers)
    )
    assert sorted(a.status_code for a in answers) == [201, 409, 409]
    assert {a.json().get("code") for a in answers} == {None, "SLUG_TAKEN"}
    assert len(await outbox_events(worker_db, TOPIC)) == 1


@pytest.mark.parametrize("slug", ["A", "acme!", "-acme", "platform"])
async def test_an_unfit_slug_is_named_as_the_fault(people: People, slug: str) -> None:
    ada = await people.sign_in()
    answer = await people.client.post(
        "/v1/organisations", json={"slug": slug, "name": "Acme"}, headers=ada.headers
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "slug")


async def test_the_same_idempotency_key_founds_once(people: People, worker_db: Database) -> None:
    ada = await people.sign_in()
    headers = ada.headers | {"Idempotency-Key": "found-acme"}
    body = {"slug": "acme", "name": "Acme"}
    first = await people.client.post("/v1/organisations", json=body, headers=headers)
    again = await people.client.post("/v1/organisations", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(await outbox_events(worker_db, TOPIC)) == 1


async def test_a_change_raises_the_version_and_is_published_once(people: People, worker_db: Database) -> None:
    ada = await people.founder()
    path = f"/v1/organisations/{ada.organisation}"
    tag = (await people.client.get(path, headers=ada.headers)).headers["etag"]
    body = {"name": "Acme Ltd", "website": "https://acme.example"}
    changed = await people.client.patch(path, json=body, headers=ada.headers | {"If-Match": tag})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert changed.json()["website"] == "https://acme.example/"
    same = await people.client.patch(path, json=body, headers=ada.headers)
    assert same.headers["etag"] == '"2"'
    stale = await people.client.patch(path, json={"name": "Else"}, headers=ada.headers | {"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "PRECONDITION_FAILED")
    assert [e["payload"]["version"] for e in await outbox_events(worker_db, TOPIC)] == [1, 2]


@pytest.mark.parametrize("website", ["javascript:alert(1)", "ftp://a.test", "acme", ""])
async def test_a_website_is_a_web_address(people: People, website: str) -> None:
    ada = await people.founder()
    answer = await people.client.patch(
        f"/v1/organisations/{ada.organisation}", json={"website": website}, headers=ada.headers
    )
    assert answer.status_code == 422


async def test_others_see_nothing_and_change_nothing(people: People) -> None:
    ada, eve = await people.founder("ada", "acme"), await people.founder("eve", "evil")
    path = f"/v1/organisations/{ada.organisation}"
    for method, body in (("GET", None), ("PATCH", {"name": "Mine now"})):
        answer = await people.client.request(method, path, json=body, headers=eve.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "ORGANISATION_NOT_FOUND")
    listed = (await people.client.get("/v1/organisations", headers=eve.headers)).json()["items"]
    assert [o["slug"] for o in listed] == ["evil"]


async def test_pages_cover_everything_once(people: People) -> None:
    ada = await people.sign_in()
    for number in range(5):
        await people.founder("ada", f"org-{number}")
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await people.client.get("/v1/organisations", params=query, headers=ada.headers)).json()
        seen += [o["slug"] for o in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [f"org-{n}" for n in range(5)]
    bad = await people.client.get("/v1/organisations", params={"cursor": "W10"}, headers=ada.headers)
    assert bad.status_code == 422


async def test_republishing_repeats_every_organisation_with_its_version(
    people: People, worker_db: Database
) -> None:
    await people.founder("ada", "acme")
    root = await people.founder("root", "operators")
    answer = await people.client.post("/v1/admin/republish", headers=root.headers)
    assert (answer.status_code, answer.json()) == (202, {"events": 2})
    events = [(e["payload"]["slug"], e["payload"]["version"]) for e in await outbox_events(worker_db, TOPIC)]
    assert sorted(events) == [("acme", 1), ("acme", 1), ("operators", 1), ("operators", 1)]
