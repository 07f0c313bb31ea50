"""API keys: made, listed, rotated, revoked. A key is shown once."""

import secrets
from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncSession

from common.http.auth import Editor, Member
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.idempotency import Idempotency
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, encode_cursor, id_after
from subscriptions.api.bodies import KeyCreate, KeyOut, KeyPage, KeyRotate, NewKeyOut, RotatedKeyOut
from subscriptions.db import copies, keys, subscriptions
from subscriptions.domain.api_key import RANDOM_BYTES, ApiKey
from subscriptions.domain.errors import (
    BadExpiry,
    BadShare,
    KeyNotActive,
    KeyNotFound,
    SubscriptionNotFound,
    SubscriptionNotLive,
    TooManyKeys,
    UnknownScope,
)
from subscriptions.usecases.issue_key import KeyRequest, issue_key
from subscriptions.usecases.revoke_key import revoke_key
from subscriptions.usecases.rotate_key import rotate_key

router = APIRouter(tags=["keys"])


@router.post(
    "/v1/subscriptions/{subscription_id}/keys",
    status_code=201,
    response_model=NewKeyOut,
    responses=error_responses(
        SubscriptionNotFound, SubscriptionNotLive, TooManyKeys, BadExpiry, BadShare, UnknownScope
    ),
)
async def create_key(
    *, subscription_id: UUID, body: KeyCreate, caller: Editor, session: Transaction, clock: ClockDep,
    idempotency: Idempotency,
) -> Response:  # fmt: skip
    """Make a key for a subscription of the caller's organisation."""
    if replayed := await idempotency.replay():
        return replayed
    found = await subscriptions.get_of_consumer(
        session, subscription_id, organisation_id=caller.organisation_id
    )
    wanted = KeyRequest(
        body.name, body.mode, body.expires_at, tuple(sorted(set(body.scopes))), body.restriction
    )
    key, secret = await issue_key(
        session, found, wanted, random_bytes=secrets.token_bytes(RANDOM_BYTES), now=clock.now()
    )
    return await idempotency.answer(201, NewKeyOut.of(key, secret), stored=NewKeyOut.of(key, None))


@router.get("/v1/subscriptions/{subscription_id}/keys", responses=error_responses(SubscriptionNotFound))
async def list_subscription_keys(
    subscription_id: UUID, caller: Member, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> KeyPage:
    """The keys of one subscription of the caller's organisation, the newest first."""
    found = await subscriptions.get(session, subscription_id)
    if found.organisation_id != caller.organisation_id:  # its provider sees the subscription, never the keys
        raise SubscriptionNotFound(subscription_id)
    page = await keys.list_of_subscription(session, found.id, after=id_after(cursor), limit=limit + 1)
    return await _page(session, page, limit)


@router.get("/v1/keys")
async def list_keys(
    caller: Member, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> KeyPage:
    """All keys of the caller's organisation, the newest first."""
    page = await keys.list_of_organisation(
        session, caller.organisation_id, after=id_after(cursor), limit=limit + 1
    )
    return await _page(session, page, limit)


@router.delete("/v1/keys/{key_id}", status_code=204, responses=error_responses(KeyNotFound))
async def delete_key(key_id: UUID, caller: Editor, session: Transaction, clock: ClockDep) -> None:
    """Revoke a key: it stops working within a moment, for good."""
    key = await keys.get_own(session, key_id, organisation_id=caller.organisation_id)
    await revoke_key(session, key, now=clock.now())


@router.post(
    "/v1/keys/{key_id}/rotate",
    status_code=201,
    response_model=RotatedKeyOut,
    responses=error_responses(KeyNotFound, KeyNotActive, SubscriptionNotLive, TooManyKeys, BadExpiry),
)
async def rotate(
    *, key_id: UUID, caller: Editor, session: Transaction, clock: ClockDep, idempotency: Idempotency,
    body: KeyRotate | None = None,
) -> Response:  # fmt: skip
    """Replace a key by a new one; for the grace time both work."""
    if replayed := await idempotency.replay():
        return replayed
    grace = timedelta(seconds=(body or KeyRotate()).grace_seconds)
    unlocked = await keys.get_own(session, key_id, organisation_id=caller.organisation_id)
    found = await subscriptions.get_of_consumer(
        session, unlocked.subscription_id, organisation_id=caller.organisation_id
    )
    new, secret, old = await rotate_key(
        session, found, unlocked, grace=grace, random_bytes=secrets.token_bytes(RANDOM_BYTES), now=clock.now()
    )
    replaces = KeyOut.of_used(old, (await copies.last_uses(session, [old.id])).get(old.id))
    shown = RotatedKeyOut(**NewKeyOut.of(new, secret).model_dump(), replaces=replaces)
    return await idempotency.answer(201, shown, stored=shown.model_copy(update={"key": None}))


async def _page(session: AsyncSession, found: list[ApiKey], limit: int) -> KeyPage:
    more = encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
    shown = found[:limit]
    uses = await copies.last_uses(session, [key.id for key in shown])
    return KeyPage(items=[KeyOut.of_used(key, uses.get(key.id)) for key in shown], next_cursor=more)
