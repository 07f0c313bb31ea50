"""`/v1/alerts`: rules that tell an organisation when its subscriptions or its APIs need a look."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from common.errors import PreconditionFailed
from common.http.auth import Editor, Member, OrganisationAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.etag import IfMatch, etag
from common.http.idempotency import Idempotency
from common.http.transaction import Transaction
from common.ids import new_id
from common.pagination import Cursor, Limit, id_after, page_of
from metering.db import alerts
from metering.domain.alert import AlertKind, AlertPeriod, AlertRule, default_period
from metering.domain.errors import (
    AlertRuleInvalid,
    AlertRuleNotFound,
    AlertSubjectUnknown,
    AlertTestTooSoon,
    TooManyAlertRules,
)
from metering.usecases.change_alert_rule import change_alert_rule
from metering.usecases.create_alert_rule import create_alert_rule
from metering.usecases.send_test_alert import send_test_alert

router = APIRouter(tags=["alerts"])
# One line: it becomes the subject of a message.
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]*$"),
]
Threshold = Annotated[Decimal, Field(gt=0, max_digits=15, decimal_places=3)]
MinCalls = Annotated[
    int, Field(ge=1, le=1_000_000, description="Fewer calls in the period say nothing of errors or latency.")
]
Until = Annotated[AwareDatetime, AfterValidator(lambda value: value.astimezone(UTC))]


class AlertRuleCreate(BaseModel):
    """`threshold` is in percent, milliseconds, whole hours or minor units, by the kind."""

    name: Name
    kind: AlertKind
    subscription_id: UUID | None = Field(default=None, description="One that your organisation consumes by.")
    api_id: UUID | None = Field(default=None, description="Or an API that your organisation provides.")
    threshold: Threshold
    period: AlertPeriod | None = Field(default=None, description="Hour or day, of error rate and latency.")
    min_calls: MinCalls = 20
    enabled: bool = True
    silenced_until: Until | None = None


class AlertRuleUpdate(BaseModel):
    """Only what is given changes; what a rule watches, and of which kind it is, never does."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    threshold: Threshold = Decimal(1)
    period: AlertPeriod = AlertPeriod.HOUR
    min_calls: MinCalls = 20
    enabled: bool = True
    silenced_until: Until | None = Field(default=None, description="Null ends the silence.")


class AlertRuleOut(BaseModel):
    """A rule."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    name: str
    kind: AlertKind
    subscription_id: UUID | None
    api_id: UUID | None
    threshold: Decimal
    period: AlertPeriod
    min_calls: int
    enabled: bool
    silenced_until: AwareDatetime | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class AlertRulePage(BaseModel):
    """In id order."""

    items: list[AlertRuleOut]
    next_cursor: str | None


class CrossingOut(BaseModel):
    """A threshold that was crossed; open while `resolved_at` is null."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    period_start: AwareDatetime
    threshold: Decimal
    value: Decimal
    unit: str
    fired_at: AwareDatetime
    resolved_at: AwareDatetime | None
    resolved_value: Decimal | None
    silenced: bool


class CrossingPage(BaseModel):
    """The newest first."""

    items: list[CrossingOut]
    next_cursor: str | None


class AuditEntryOut(BaseModel):
    """Who changed what of which rule."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    at: AwareDatetime
    rule_id: UUID
    actor_user_id: UUID
    action: str
    before: dict[str, Any]
    after: dict[str, Any]


class AuditPage(BaseModel):
    """The newest first."""

    items: list[AuditEntryOut]
    next_cursor: str | None


class TestOut(BaseModel):
    """The notification that is on its way."""

    alert_id: UUID


@router.post(
    "/v1/alerts",
    status_code=201,
    response_model=AlertRuleOut,
    responses=error_responses(AlertRuleInvalid, AlertSubjectUnknown, TooManyAlertRules),
)
async def create_rule(
    *, body: AlertRuleCreate, caller: Editor, session: Transaction, clock: ClockDep, idempotency: Idempotency
) -> Response:
    """Watch a subscription that your organisation has, or an API that it provides."""
    if replayed := await idempotency.replay():
        return replayed
    now = clock.now()
    rule = AlertRule(
        **body.model_dump() | {"period": body.period or default_period(body.kind)}, id=new_id(), version=1,
        organisation_id=caller.organisation_id, tested_at=None, created_at=now, updated_at=now, deleted_at=None,
    )  # fmt: skip
    created = await create_alert_rule(session, rule, actor_user_id=caller.user_id, now=now)
    answer = await idempotency.answer(201, AlertRuleOut.model_validate(created))
    answer.headers["ETag"] = etag(created.version)
    return answer


@router.get("/v1/alerts")
async def list_rules(
    caller: Member, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> AlertRulePage:
    """Your organisation's rules."""
    found = await alerts.list_rules(session, caller.organisation_id, after=id_after(cursor), limit=limit + 1)
    shown, next_cursor = page_of(found, limit=limit, key=lambda r: r.id)
    return AlertRulePage(items=[AlertRuleOut.model_validate(r) for r in shown], next_cursor=next_cursor)


@router.get("/v1/alerts/audit")
async def list_audit(
    caller: OrganisationAdmin, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> AuditPage:
    """Who changed which rule, deleted ones too."""
    found = await alerts.list_audit(session, caller.organisation_id, before=id_after(cursor), limit=limit + 1)
    shown, next_cursor = page_of(found, limit=limit, key=lambda e: e.id)
    return AuditPage(items=[AuditEntryOut.model_validate(e) for e in shown], next_cursor=next_cursor)


@router.get("/v1/alerts/{rule_id}", responses=error_responses(AlertRuleNotFound))
async def get_rule(rule_id: UUID, caller: Member, session: Transaction, response: Response) -> AlertRuleOut:
    """One rule; its ETag is what a change goes by."""
    rule = await alerts.get(session, rule_id, organisation_id=caller.organisation_id)
    response.headers["ETag"] = etag(rule.version)
    return AlertRuleOut.model_validate(rule)


@router.patch(
    "/v1/alerts/{rule_id}",
    responses=error_responses(AlertRuleNotFound, AlertRuleInvalid, PreconditionFailed),
)
async def update_rule(
    *, rule_id: UUID, body: AlertRuleUpdate, caller: Editor, session: Transaction, clock: ClockDep,
    response: Response, if_match: IfMatch = None,
) -> AlertRuleOut:  # fmt: skip
    """Change the rule, switch it on or off, or silence it until a time."""
    rule = await change_alert_rule(
        session, rule_id, organisation_id=caller.organisation_id, changes=body.model_dump(exclude_unset=True),
        actor_user_id=caller.user_id, if_match=if_match, now=clock.now(),
    )  # fmt: skip
    response.headers["ETag"] = etag(rule.version)
    return AlertRuleOut.model_validate(rule)


@router.delete(
    "/v1/alerts/{rule_id}", status_code=204, responses=error_responses(AlertRuleNotFound, PreconditionFailed)
)
async def delete_rule(
    rule_id: UUID, caller: Editor, session: Transaction, clock: ClockDep, if_match: IfMatch = None
) -> None:
    """The rule is gone; what it fired and who changed it stay on record."""
    now = clock.now()
    await change_alert_rule(
        session, rule_id, organisation_id=caller.organisation_id, changes={"deleted_at": now},
        actor_user_id=caller.user_id, if_match=if_match, now=now,
    )  # fmt: skip


@router.post(
    "/v1/alerts/{rule_id}/test",
    status_code=202,
    responses=error_responses(AlertRuleNotFound, AlertTestTooSoon),
)
async def test_rule(rule_id: UUID, caller: Editor, session: Transaction, clock: ClockDep) -> TestOut:
    """Send a notification that says that it is a test, to everybody who would be told of an alert."""
    alert_id = await send_test_alert(
        session,
        rule_id,
        organisation_id=caller.organisation_id,
        actor_user_id=caller.user_id,
        now=clock.now(),
    )
    return TestOut(alert_id=alert_id)


@router.get("/v1/alerts/{rule_id}/history", responses=error_responses(AlertRuleNotFound))
async def list_history(
    rule_id: UUID, caller: Member, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> CrossingPage:
    """When the rule's threshold was crossed, and when that was over."""
    rule = await alerts.get(session, rule_id, organisation_id=caller.organisation_id)
    found = await alerts.history(session, rule.id, before=id_after(cursor), limit=limit + 1)
    shown, next_cursor = page_of(found, limit=limit, key=lambda c: c.id)
    return CrossingPage(items=[CrossingOut.model_validate(c) for c in shown], next_cursor=next_cursor)
