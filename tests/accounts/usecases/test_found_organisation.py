from __future__ import annotations

import pytest
from sqlalchemy import text

from accounts.domain.audit import Actor
from accounts.domain.errors import SlugTaken
from accounts.usecases.found_organisation import found_organisation
from common.db import Database, Scope
from common.ids import new_id
from tests.accounts.db.test_row_security import a_founder
from tests.support.clock import NOON

COUNTS = text("""
    SELECT (SELECT count(*) FROM organisation), (SELECT count(*) FROM membership),
           (SELECT count(*) FROM audit_entry), (SELECT count(*) FROM outbox)""")


async def test_a_founding_that_fails_leaves_nothing(db: Database, worker_db: Database) -> None:
    ada, _ = await a_founder(db, "ada")
    async with worker_db.begin() as session:
        before = tuple((await session.execute(COUNTS)).one())
    actor = Actor(user_id=ada.id, network=None)
    with pytest.raises(SlugTaken):
        async with db.begin() as session:
            await found_organisation(session, actor=actor, slug="ada", name="Ada", now=NOON)
    with pytest.raises(RuntimeError):
        async with db.begin() as session:
            await found_organisation(session, actor=actor, slug="beta", name="Beta", now=NOON)
            raise RuntimeError("the process ends before the commit")
    async with worker_db.begin() as session:
        assert tuple((await session.execute(COUNTS)).one()) == before


async def test_somebody_who_never_signed_in_founds_nothing(db: Database) -> None:
    stranger = Actor(user_id=new_id(), network=None)
    with pytest.raises(Exception, match="fk_membership_user_id"):
        async with db.begin() as session:
            await found_organisation(session, actor=stranger, slug="beta", name="Beta", now=NOON)


async def test_after_founding_the_transaction_is_its_callers_again(db: Database) -> None:
    ada, acme = await a_founder(db, "ada")
    setting = text("SELECT current_setting('app.organisation_id', true)")
    async with db.begin(Scope(organisation_id=acme.id)) as session:
        await found_organisation(
            session, actor=Actor(user_id=ada.id, network=None), slug="beta", name="Beta", now=NOON
        )
        assert await session.scalar(setting) == str(acme.id)
    async with db.begin() as session:
        await found_organisation(
            session, actor=Actor(user_id=ada.id, network=None), slug="gamma", name="Gamma", now=NOON
        )
        assert await session.scalar(setting) == ""
