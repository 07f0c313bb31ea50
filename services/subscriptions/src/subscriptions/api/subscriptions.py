"""Subscriptions, as their consumer and their provider handle them."""

import secrets
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from common.errors import PreconditionFailed
from common.http.auth import Editor, Member
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.etag import IfMatch, etag, require_match
from common.http.idempotency import Idempotency
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, encode_cursor, id_after
from subscriptions.api.bodies import (
    NewKeyOut,
    StatusChange,
    SubscriptionCreate,
    SubscriptionCreated,
    SubscriptionOut,
    SubscriptionPage,
)
from subscriptions.db import copies, subscriptions
from subscriptions.domain.api_key import RANDOM_BYTES
from subscriptions.domain.errors import (
    AlreadySubscribed,
    ApiDeprecated,
    InvalidTransition,
    PaymentPastDue,
    PlanNotFound,
    SubscriptionNotFound,
)
from subscriptions.domain.lifecycle import Action
from subscriptions.domain.subscription import STARTED, Status, Subscription
from subscriptions.usecases.change_status import change_status
from subscriptions.usecases.issue_key import KeyRequest, issue_key
from subscriptions.usecases.subscribe import subscribe

router = APIRouter(tags=["subscriptions"])
StatusFilter = Annotated[Status | None, Query()]


class RequestedAction(StrEnum):
    """The last part of the URL: the first three are the consumer's, the others the provider's."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    REJECT = "reject"

    @property
    def is_the_provider_s(self) -> bool:
        """It is for the API's provider to do, not for who subscribed."""
        return self in {RequestedAction.APPROVE, RequestedAction.REJECT}


_ERRORS = error_responses(SubscriptionNotFound, InvalidTransition, PaymentPastDue, PreconditionFailed)


@router.post(
    "/v1/subscriptions",
    status_code=201,
    response_model=SubscriptionCreated,
    responses=error_responses(PlanNotFound, ApiDeprecated, AlreadySubscribed, PaymentPastDue),
)
async def create_subscription(
    body: SubscriptionCreate, caller: Editor, session: Transaction, clock: ClockDep, idempotency: Idempotency
) -> Response:
    """Subscribe the caller's organisation to a plan. The key is in this answer only."""
    if replayed := await idempotency.replay():
        return replayed
    now = clock.now()
    made = await subscribe(session, organisation_id=caller.organisation_id, plan_id=body.plan_id, now=now)
    out = SubscriptionCreated(subscription=SubscriptionOut.of(made), key=None)
    if made.status not in STARTED:
        return await idempotency.answer(201, out)
    wanted = KeyRequest(body.key_name, body.key_mode)
    key, secret = await issue_key(
        session, made, wanted, random_bytes=secrets.token_bytes(RANDOM_BYTES), now=now
    )
    shown = out.model_copy(update={"key": NewKeyOut.of(key, secret)})
    return await idempotency.answer(201, shown, stored=out)


@router.get("/v1/subscriptions")
async def list_subscriptions(
    *, caller: Member, session: Transaction, status: StatusFilter = None, api_id: UUID | None = None,
    limit: Limit = 20, cursor: Cursor = None,
) -> SubscriptionPage:  # fmt: skip
    """What the caller's organisation has subscribed to, the newest first."""
    found = await subscriptions.list_of_consumer(
        session, organisation_id=caller.organisation_id, status=status, api_id=api_id,
        after=id_after(cursor), limit=limit + 1,
    )  # fmt: skip
    return await _page(session, found, limit)


@router.get("/v1/provider/subscriptions")
async def list_provider_subscriptions(
    *, caller: Member, session: Transaction, status: StatusFilter = None, api_id: UUID | None = None,
    limit: Limit = 20, cursor: Cursor = None,
) -> SubscriptionPage:  # fmt: skip
    """Who has subscribed to the APIs of the caller's organisation, the newest first."""
    found = await subscriptions.list_of_provider(
        session, organisation_id=caller.organisation_id, status=status, api_id=api_id,
        after=id_after(cursor), limit=limit + 1,
    )  # fmt: skip
    return await _page(session, found, limit)


@router.get("/v1/subscriptions/{subscription_id}", responses=error_responses(SubscriptionNotFound))
async def get_subscription(
    subscription_id: UUID, caller: Member, session: Transaction, response: Response
) -> SubscriptionOut:
    """One subscription: to its consumer and to its provider."""
    found = await subscriptions.get(session, subscription_id)
    parties = {found.organisation_id, found.provider_organisation_id}
    if caller.organisation_id not in parties and not caller.platform_admin:
        raise SubscriptionNotFound(subscription_id)
    response.headers["ETag"] = etag(found.version)
    return await _shown(session, found)


@router.post("/v1/subscriptions/{subscription_id}/{action}", responses=_ERRORS)
async def act_on_subscription(
    *, subscription_id: UUID, action: RequestedAction, caller: Editor, session: Transaction, clock: ClockDep,
    response: Response, body: StatusChange | None = None, if_match: IfMatch = None,
) -> SubscriptionOut:  # fmt: skip
    """Cancel, pause or resume one's own subscription; approve or reject one to one's own API."""
    seen = await subscriptions.get(session, subscription_id)
    await copies.lock_standing(session, seen.organisation_id)
    lock = subscriptions.get_of_provider if action.is_the_provider_s else subscriptions.get_of_consumer
    found = await lock(session, subscription_id, organisation_id=caller.organisation_id)
    require_match(if_match, found.version)
    changed = await change_status(
        session,
        found,
        Action(action.value),
        standing=await copies.get_standing(session, found.organisation_id),
        now=clock.now(),
        reason=body.reason if body else None,
    )
    response.headers["ETag"] = etag(changed.version)
    return await _shown(session, changed)


async def _shown(session: AsyncSession, subscription: Subscription) -> SubscriptionOut:
    gateways = await copies.gateways(session, [subscription.id])
    quota = await copies.find_quota(session, subscription.id)
    return SubscriptionOut.of(subscription, gateways.get(subscription.id), quota)


async def _page(session: AsyncSession, found: list[Subscription], limit: int) -> SubscriptionPage:
    gateways = await copies.gateways(session, [subscription.id for subscription in found])
    items = [SubscriptionOut.of(item, gateways.get(item.id)) for item in found[:limit]]
    more = encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
    return SubscriptionPage(items=items, next_cursor=more)
