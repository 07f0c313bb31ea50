"""What Stripe tells us."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ValidationError

from billing.api.dependencies import OptionsDep, WorkerDatabase
from billing.clients.stripe_webhook import is_signed
from billing.db.webhooks import WebhookEvent
from billing.domain.errors import InvalidSignature
from billing.usecases.receive_webhook import receive_webhook
from common.errors import Invalid, TooLarge
from common.http.auth import MachineAccess
from common.http.clock import ClockDep
from common.http.errors import error_responses

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
_LARGEST_BYTES = 512 * 1024


class StripeObjectIn(BaseModel):
    """What the event is about; its content is fetched when the event is processed."""

    object: dict[str, Any]


class StripeEventIn(BaseModel):
    """The part of an event that is kept."""

    id: str
    type: str
    created: int
    account: str | None = None
    data: StripeObjectIn


class Received(BaseModel):
    """The event is stored."""

    received: bool = True


@router.post("/stripe", responses=error_responses(InvalidSignature, TooLarge))
async def post_stripe_event(
    request: Request, _: MachineAccess, worker_db: WorkerDatabase, options: OptionsDep, clock: ClockDep,
    stripe_signature: Annotated[str | None, Header()] = None,
) -> Received:  # fmt: skip
    """Store an event; it is processed afterwards. The same event again is answered and changes nothing."""
    body = await _read(request)
    if not is_signed(body, stripe_signature, secret=options.webhook_secret):
        raise InvalidSignature("This is not signed with our webhook secret, or more than five minutes ago.")
    try:
        event = StripeEventIn.model_validate_json(body)
    except ValidationError as error:
        raise Invalid("This is not an event of Stripe's.") from error
    object_id = event.data.object.get("id")
    stored = WebhookEvent(
        id=event.id, type=event.type, object_id=str(object_id) if object_id else None, account=event.account,
        created_at=datetime.fromtimestamp(event.created, UTC),
    )  # fmt: skip
    async with worker_db.begin() as session:
        await receive_webhook(session, stored, now=clock.now())
    return Received()


async def _read(request: Request) -> bytes:
    """The raw body: the signature is over its bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BYTES:
            raise TooLarge("An event is never that large.")
    return bytes(body)
