from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from accounts.clients.smtp import Letter, Mailer, MailRefused, MailUnavailable
from accounts.consumers.alert import AlertEvent, on_alert
from accounts.db import notifications
from accounts.domain.notification import LEASE
from accounts.usecases.send_next_notification import send_next_notification
from common.db import Database
from common.kafka.dead_letters import PoisonMessage
from metering.events.alert_changed import AlertChanged
from tests.accounts.api.people import People, Person
from tests.accounts.stored import everything_stored
from tests.support.clock import FixedClock


class Mailbox(Mailer):
    """Takes what `failures` does not refuse first."""

    def __init__(self) -> None:
        super().__init__("smtp://127.0.0.1:1", sender="alerts@marketplace.test")
        self.letters: list[Letter] = []
        self.failures: list[Exception] = []
        self.takes_before_failing = False

    async def send(self, letter: Letter) -> None:
        if self.takes_before_failing or not self.failures:
            self.letters.append(letter)
        if self.failures:
            raise self.failures.pop(0)

    @property
    def addresses(self) -> list[str]:
        return sorted(letter.address for letter in self.letters)


@pytest.fixture
def people(client: Any, issuer: Any, tokens: Any) -> People:
    return People(client, issuer, tokens)


@pytest.fixture
async def owner(people: People) -> Person:
    return await people.founder("ada")


async def take(db: Database, owner: Person, clock: FixedClock, **overrides: Any) -> None:
    example = json.loads(AlertChanged.example().model_dump_json())
    said = {"organisation_id": str(owner.organisation), "at": clock.now().isoformat()}
    event = AlertEvent.model_validate(example | said | overrides)
    async with db.begin() as session:
        await on_alert(session, event, now=clock.now())


async def send_all(db: Database, mailbox: Mailbox, clock: FixedClock) -> None:
    while await send_next_notification(db, mailbox, clock):
        pass


async def statuses(db: Database) -> list[tuple[str, int]]:
    query = text("SELECT status, attempts FROM notification ORDER BY status, attempts")
    async with db.begin() as session:
        return [tuple(row) for row in await session.execute(query)]


async def test_owners_and_admins_are_told_and_others_who_said_so(
    people: People, owner: Person, worker_db: Database, clock: FixedClock
) -> None:
    admin = await people.join(owner, "grace", "admin")
    viewer = await people.join(owner, "joan", "viewer")
    await people.join(owner, "mary", "viewer")
    path = "/v1/notification-preferences"
    assert [(await people.client.get(path, headers=p.headers)).json()["alerts"] for p in (admin, viewer)] == [
        True, False,
    ]  # fmt: skip
    for person, wants in ((admin, False), (viewer, True)):
        said = await people.client.put(path, json={"alerts": wants}, headers=person.headers)
        assert said.json() == {"alerts": wants}
        assert (await people.client.get(path, headers=person.headers)).json() == {"alerts": wants}
    await take(worker_db, owner, clock)
    mailbox = Mailbox()
    await send_all(worker_db, mailbox, clock)
    assert mailbox.addresses == ["ada@example.test", "joan@example.test"]
    assert mailbox.letters[0].subject == "[Alert] Most of the quota is used (acme)"


async def test_an_event_that_comes_again_is_one_message_and_its_end_is_another(
    owner: Person, worker_db: Database, clock: FixedClock
) -> None:
    mailbox = Mailbox()
    for version, state in ((1, "firing"), (1, "firing"), (2, "resolved")):
        await take(worker_db, owner, clock, version=version, state=state)
        await send_all(worker_db, mailbox, clock)
    await take(worker_db, owner, clock)
    await send_all(worker_db, mailbox, clock)
    assert [letter.subject.split("]")[0] for letter in mailbox.letters] == ["[Alert", "[Resolved"]
    assert len({letter.id for letter in mailbox.letters}) == 2


@pytest.mark.parametrize("overrides", [{"silenced": True}, {"at": "2026-11-14T11:59:59Z"}])
async def test_nobody_is_told_of_what_is_silenced_or_of_yesterday(
    owner: Person, worker_db: Database, clock: FixedClock, overrides: dict[str, Any]
) -> None:
    await take(worker_db, owner, clock, **overrides)
    assert await statuses(worker_db) == []


async def test_a_mail_server_that_is_away_is_asked_again_after_a_growing_wait(
    owner: Person, worker_db: Database, clock: FixedClock
) -> None:
    await take(worker_db, owner, clock)
    mailbox = Mailbox()
    mailbox.failures = [MailUnavailable("away"), MailUnavailable("away")]
    assert not await send_next_notification(worker_db, mailbox, clock)
    assert not await send_next_notification(
        worker_db, mailbox, clock
    )  # not due yet: the server was asked once
    assert len(mailbox.failures) == 1
    clock.advance(seconds=8)
    await send_all(worker_db, mailbox, clock)
    clock.advance(seconds=31)
    await send_all(worker_db, mailbox, clock)
    assert (mailbox.addresses, await statuses(worker_db)) == (["ada@example.test"], [("sent", 3)])


async def test_a_message_that_was_taken_although_it_failed_is_sent_again_under_the_same_id(
    owner: Person, worker_db: Database, clock: FixedClock
) -> None:
    await take(worker_db, owner, clock)
    mailbox = Mailbox()
    mailbox.failures, mailbox.takes_before_failing = [MailUnavailable("who knows")], True
    await send_all(worker_db, mailbox, clock)
    clock.advance(seconds=8)
    await send_all(worker_db, mailbox, clock)
    first, again = mailbox.letters
    assert first == again


async def test_a_worker_that_dies_while_it_sends_leaves_the_message_to_the_next_one(
    owner: Person, worker_db: Database, clock: FixedClock
) -> None:
    await take(worker_db, owner, clock)
    async with worker_db.begin() as session:  # as the one that died did
        assert await notifications.claim(session, now=clock.now(), leased_until=clock.now() + LEASE)
    mailbox = Mailbox()
    assert not await send_next_notification(worker_db, mailbox, clock)
    clock.advance(seconds=LEASE.total_seconds())
    await send_all(worker_db, mailbox, clock)
    assert await statuses(worker_db) == [("sent", 2)]


async def test_two_workers_send_each_message_once(
    people: People, owner: Person, worker_db: Database, clock: FixedClock
) -> None:
    for name in ("grace", "joan", "mary"):
        await people.join(owner, name, "admin")
    await take(worker_db, owner, clock)
    mailbox = Mailbox()
    await asyncio.gather(*(send_all(worker_db, mailbox, clock) for _ in range(3)))
    assert mailbox.addresses == [f"{name}@example.test" for name in ("ada", "grace", "joan", "mary")]


async def test_what_is_refused_or_too_old_is_given_up(
    owner: Person, worker_db: Database, clock: FixedClock
) -> None:
    await take(worker_db, owner, clock)
    mailbox = Mailbox()
    mailbox.failures = [MailRefused("550")]
    await send_all(worker_db, mailbox, clock)
    assert await statuses(worker_db) == [("refused", 1)]
    await take(worker_db, owner, clock, version=2, state="resolved")
    clock.advance(hours=24)
    await send_all(worker_db, mailbox, clock)
    assert (mailbox.letters, await statuses(worker_db)) == ([], [("expired", 1), ("refused", 1)])


async def test_who_has_left_is_not_written_to(
    people: People, owner: Person, worker_db: Database, clock: FixedClock
) -> None:
    admin = await people.join(owner, "grace", "admin")
    await take(worker_db, owner, clock)
    path = f"/v1/organisations/{owner.organisation}/members/{admin.id}"
    assert (await people.client.delete(path, headers=owner.headers)).status_code == 204
    mailbox = Mailbox()
    await send_all(worker_db, mailbox, clock)
    assert (mailbox.addresses, await statuses(worker_db)) == (
        ["ada@example.test"],
        [("sent", 1), ("unwanted", 1)],
    )


async def test_an_address_stands_with_its_person_and_in_no_message(
    owner: Person, worker_db: Database, clock: FixedClock
) -> None:
    await take(worker_db, owner, clock)
    await send_all(worker_db, Mailbox(), clock)
    assert (await everything_stored(worker_db)).count("ada@example.test") == 1


async def test_an_alert_of_nobody_is_set_aside(owner: Person, worker_db: Database, clock: FixedClock) -> None:
    with pytest.raises(PoisonMessage):
        await take(worker_db, owner, clock, organisation_id=str(UUID(int=1)))


async def test_a_preference_is_ones_own(
    people: People, owner: Person, db: Database, clock: FixedClock
) -> None:
    other = await people.join(owner, "grace", "admin")
    await people.client.put("/v1/notification-preferences", json={"alerts": False}, headers=owner.headers)
    said = await people.client.get("/v1/notification-preferences", headers=other.headers)
    assert said.json() == {"alerts": True}
    async with db.begin() as session:
        await session.execute(text("SELECT set_config('app.user_id', :id, true)"), {"id": str(other.id)})
        assert await session.scalar(text("SELECT count(*) FROM notification_preference")) == 0
