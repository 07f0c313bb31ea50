"""Exchange an OIDC token or a personal access token for a platform token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.db import access_tokens, memberships, proofs, users
from accounts.domain import access_token, platform_token
from accounts.domain.errors import InvalidSubjectToken
from accounts.domain.platform_token import IssuedToken, Seat, choose_seat
from accounts.domain.user import is_platform_admin
from accounts.metrics import TOKENS_ISSUED
from common.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from accounts.clients.oidc import OidcVerifier
    from accounts.clients.signing import Signer
    from accounts.domain.user import Identity
    from common.db import Database


async def exchange_token(
    db: Database,
    oidc: OidcVerifier,
    signer: Signer,
    *,
    subject_token: str,
    organisation: str | None,
    admins: frozenset[str],
    issuer: str,
    ttl: timedelta,
    now: datetime,
) -> IssuedToken:
    """A platform token for the person that `subject_token` proves, who is made on their first time.

    `organisation` (slug or id) names the one to act for. A personal access token acts for its own organisation only
    and never as an operator of the platform.
    """
    if subject_token.startswith(access_token.PREFIX):
        user_id, seat = await _by_access_token(db, subject_token, organisation=organisation, now=now)
        kind, admin = "access_token", False
    else:
        known = await oidc.verify(subject_token, now=now)
        user_id, seats = await _sign_in(db, known, now=now)
        seat = choose_seat(seats, organisation)
        kind, admin = "oidc", is_platform_admin(known, admins)
    said = platform_token.claims(
        user_id, seat, platform_admin=admin, issuer=issuer, token_id=new_id(), now=now, ttl=ttl
    )
    TOKENS_ISSUED.labels(kind, "with" if seat else "without").inc()
    return IssuedToken(
        access_token=signer.sign(said),
        expires_in_seconds=int(ttl.total_seconds()),
        organisation_id=seat.organisation.id if seat else None,
    )


async def _sign_in(db: Database, known: Identity, *, now: datetime) -> tuple[UUID, Sequence[Seat]]:
    async with db.begin() as session:
        await proofs.identity(session, known)
        user = await users.upsert(session, known, user_id=new_id(), now=now)
        await proofs.user(session, user.id)
        return user.id, await memberships.seats(session, user.id)


async def _by_access_token(
    db: Database, presented: str, *, organisation: str | None, now: datetime
) -> tuple[UUID, Seat | None]:
    if not access_token.is_well_formed(presented):
        raise InvalidSubjectToken("it is no access token of this platform")
    sha256 = access_token.digest(presented)
    async with db.begin() as session:
        await proofs.access_token(session, sha256)
        found = await access_tokens.find_by_digest(session, sha256)
        if found is None or not access_token.is_live(found, now=now):
            raise InvalidSubjectToken("it is unknown, expired or revoked")
        await proofs.user(session, found.user_id)
        seats = await memberships.seats(session, found.user_id)
        await access_tokens.touch(session, found.id, now=now)
    own = [s for s in seats if s.organisation.id == found.organisation_id]
    return found.user_id, choose_seat(own, organisation or str(found.organisation_id))
