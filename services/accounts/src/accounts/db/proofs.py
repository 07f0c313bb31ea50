"""What a transaction has proved about its caller; row-level security opens exactly the rows that go with it.

The organisation and the operator's role come with the platform token (`common.db.Scope`). The proofs here are those
of the moments before there is such a token, or beside it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

from accounts.domain.user import normalised_email

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.user import Identity

_SET = text("SELECT set_config(:name, :value, true)")
_ORGANISATION = text("SELECT current_setting('app.organisation_id', true)")


async def _prove(session: AsyncSession, name: str, value: str) -> None:
    await session.execute(_SET, {"name": name, "value": value})


async def user(session: AsyncSession, user_id: UUID) -> None:
    """The rest of the transaction sees this person, their memberships and their access tokens."""
    await _prove(session, "app.user_id", str(user_id))


async def identity(session: AsyncSession, known: Identity) -> None:
    """The rest of the transaction may see and write the person whom a verified token names."""
    await _prove(session, "app.issuer", known.issuer)
    await _prove(session, "app.subject", known.subject)


async def access_token(session: AsyncSession, sha256: str) -> None:
    """The rest of the transaction sees the access token that hashes to `sha256`."""
    await _prove(session, "app.access_token_sha256", sha256)


async def email(session: AsyncSession, address: str) -> None:
    """The rest of the transaction sees people with this verified address, so that they can be made members."""
    await _prove(session, "app.email", normalised_email(address))


@asynccontextmanager
async def founder(session: AsyncSession, organisation_id: UUID) -> AsyncIterator[None]:
    """Inside the block the transaction acts for the organisation that it inserts; afterwards for its own again."""
    own = await session.scalar(_ORGANISATION)
    await _prove(session, "app.organisation_id", str(organisation_id))
    yield  # an error ends the transaction, and every proof with it
    await _prove(session, "app.organisation_id", own or "")
