from __future__ import annotations

from sqlalchemy import text

from accounts.events.organisation_changed import OrganisationChanged
from accounts.usecases.republish import republish
from common.db import Database, Scope
from tests.accounts.db.test_row_security import a_founder
from tests.support.clock import NOON

MANY = text("""
    INSERT INTO organisation (id, slug, name, status, version, created_at, updated_at)
    SELECT gen_random_uuid(), 'org-' || n, 'Org ' || n, 'active', n, :now, :now FROM generate_series(1, 1100) n""")
EVENTS = text("SELECT count(*), count(DISTINCT event_id), count(DISTINCT key) FROM outbox")


async def test_every_organisation_is_published_again_with_the_id_it_had(
    db: Database, worker_db: Database
) -> None:
    _, acme = await a_founder(db, "ada")
    async with worker_db.begin() as session:
        await session.execute(MANY, {"now": NOON})
        first = await session.scalar(text("SELECT event_id FROM outbox"))
        assert first == OrganisationChanged.of(acme).event_id
        assert await republish(session, NOON) == 1101
        # One more event than ids: Acme's first one is the same as its repetition.
        assert tuple((await session.execute(EVENTS)).one()) == (1102, 1101, 1101)


async def test_the_api_role_republishes_for_an_operator_and_nothing_for_others(db: Database) -> None:
    await a_founder(db, "ada")
    async with db.begin(Scope(platform_admin=True)) as session:
        assert await republish(session, NOON) == 1
    async with db.begin() as session:
        assert await republish(session, NOON) == 0
