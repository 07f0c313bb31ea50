"""The API role's view of the database without any WHERE of ours."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from accounts.db import proofs, users
from accounts.domain.audit import Actor
from accounts.domain.user import User
from accounts.usecases.found_organisation import found_organisation
from accounts.usecases.make_access_token import make_access_token
from common.db import Database, Scope
from common.ids import new_id
from tests.accounts.factories import an_identity
from tests.support.clock import NOON

TABLES = ["platform_user", "organisation", "membership", "access_token", "audit_entry"]


async def count(session: AsyncSession) -> dict[str, int]:
    return {t: int(await session.scalar(text(f"SELECT count(*) FROM {t}")) or 0) for t in TABLES}


async def a_founder(db: Database, name: str) -> tuple[User, Any]:
    known = an_identity(subject=name, email=f"{name}@example.test")
    async with db.begin() as session:
        await proofs.identity(session, known)
        user = await users.upsert(session, known, user_id=new_id(), now=NOON)
    actor = Actor(user_id=user.id, network=None)
    async with db.begin() as session:
        founded = await found_organisation(session, actor=actor, slug=name, name=name, now=NOON)
    async with db.begin(Scope(organisation_id=founded.id)) as session:
        await make_access_token(
            session,
            actor=actor,
            organisation_id=founded.id,
            name="ci",
            expires_at=NOON.replace(year=2027),
            secret=name.encode().ljust(32),
            now=NOON,
        )
    return user, founded


async def test_each_proof_opens_its_own_rows_and_no_others(db: Database) -> None:
    ada, acme = await a_founder(db, "ada")
    await a_founder(db, "eve")
    nothing = dict.fromkeys(TABLES, 0)
    async with db.begin() as session:
        assert await count(session) == nothing
    async with db.begin(Scope(organisation_id=acme.id)) as session:
        own = {"platform_user": 1, "organisation": 1, "membership": 1, "audit_entry": 2}
        assert await count(session) == nothing | own
    async with db.begin(Scope(organisation_id=new_id())) as session:
        assert await count(session) == nothing
    async with db.begin() as session:
        await proofs.user(session, ada.id)
        own = {"platform_user": 1, "organisation": 1, "membership": 1, "access_token": 1}
        assert await count(session) == nothing | own
    async with db.begin() as session:
        await proofs.email(session, "Eve@example.test")
        assert await count(session) == nothing | {"platform_user": 1}
    async with db.begin() as session:
        await proofs.identity(session, an_identity(subject="eve"))
        assert await count(session) == nothing | {"platform_user": 1}
    async with db.begin(Scope(platform_admin=True)) as session:
        assert await count(session) == {
            "platform_user": 2, "organisation": 2, "membership": 2, "access_token": 0, "audit_entry": 4,
        }  # fmt: skip


async def test_a_proof_does_not_outlive_its_transaction(urls: Any, db: Database) -> None:
    ada, _ = await a_founder(db, "ada")
    one_connection = Database(urls.api, name="test", pool_size=1)
    async with one_connection.begin() as session:
        await proofs.user(session, ada.id)
        assert (await count(session))["membership"] == 1
    async with one_connection.begin() as session:
        assert (await count(session))["membership"] == 0
    await one_connection.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE organisation SET name = 'mine'",
        "UPDATE membership SET role = 'viewer'",
        "DELETE FROM membership",
        "UPDATE access_token SET revoked_at = now()",
        "UPDATE platform_user SET email = 'x'",
    ],
)
async def test_a_write_without_where_touches_no_foreign_row(db: Database, statement: str) -> None:
    await a_founder(db, "ada")
    eve, evil = await a_founder(db, "eve")
    async with db.begin(Scope(organisation_id=evil.id)) as session:
        await proofs.user(session, eve.id)
        touched = await session.execute(text(statement))
        assert touched.rowcount <= 1  # type: ignore[attr-defined]
    async with db.begin() as session:
        touched = await session.execute(text(statement))
        assert touched.rowcount == 0  # type: ignore[attr-defined]


async def test_a_member_cannot_insert_itself_elsewhere(db: Database) -> None:
    _, acme = await a_founder(db, "ada")
    eve, evil = await a_founder(db, "eve")
    insert = text("INSERT INTO membership VALUES (:organisation, :user, 'owner', :now)")
    with pytest.raises(DBAPIError, match="row-level security"):
        async with db.begin(Scope(organisation_id=evil.id)) as session:
            await session.execute(insert, {"organisation": acme.id, "user": eve.id, "now": NOON})


@pytest.mark.parametrize("statement", ["UPDATE audit_entry SET action = 'x'", "DELETE FROM audit_entry"])
async def test_the_audit_trail_is_append_only_for_every_role(
    db: Database, worker_db: Database, urls: Any, statement: str
) -> None:
    await a_founder(db, "ada")
    owner = Database(urls.owner, name="test owner")
    for database, why in (
        (db, "permission denied"),
        (worker_db, "permission denied"),
        (owner, "append-only"),
    ):
        with pytest.raises(DBAPIError, match=why):
            async with database.begin() as session:
                await session.execute(text(statement))
    with pytest.raises(DBAPIError, match="append-only"):
        async with owner.begin() as session:
            await session.execute(text("TRUNCATE audit_entry"))
    await owner.dispose()


async def test_every_table_of_ours_has_row_security_and_the_api_role_owns_nothing(
    worker_db: Database,
) -> None:
    protected = text("SELECT relname FROM pg_class WHERE relrowsecurity AND relkind = 'r'")
    owned = text(
        "SELECT count(*) FROM pg_class JOIN pg_roles r ON r.oid = relowner WHERE r.rolname = 'accounts_api'"
    )
    bypass = text("SELECT rolname FROM pg_roles WHERE rolbypassrls AND rolname LIKE 'accounts%'")
    async with worker_db.begin() as session:
        assert set((await session.scalars(protected)).all()) >= set(TABLES)
        assert await session.scalar(owned) == 0
        assert (await session.scalars(bypass)).all() == ["accounts_worker"]
