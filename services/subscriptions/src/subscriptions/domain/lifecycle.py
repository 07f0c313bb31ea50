"""Which status a subscription may move to: the one transition table, and what else changes with it."""

from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from subscriptions.domain.errors import ApiDeprecated, InvalidTransition, PaymentPastDue, PlanNotFound
from subscriptions.domain.subscription import (
    STARTED,
    ApiCopy,
    Phase,
    PlanCopy,
    Standing,
    Status,
    Subscription,
)


class Action(StrEnum):
    """What consumers, providers and billing cause."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    REJECT = "reject"
    FALL_DUE = "an overdue payment"
    RECOVER = "a payment"


_S, _A = Status, Action

TRANSITIONS: dict[tuple[Status, Action], Status] = {
    (_S.PENDING_APPROVAL, _A.APPROVE): _S.ACTIVE,
    (_S.PENDING_APPROVAL, _A.REJECT): _S.REJECTED,
    (_S.PENDING_APPROVAL, _A.CANCEL): _S.CANCELED,
    (_S.ACTIVE, _A.APPROVE): _S.ACTIVE,
    (_S.ACTIVE, _A.PAUSE): _S.PAUSED,
    (_S.ACTIVE, _A.RESUME): _S.ACTIVE,
    (_S.ACTIVE, _A.FALL_DUE): _S.PAST_DUE,
    (_S.ACTIVE, _A.CANCEL): _S.CANCELED,
    (_S.PAUSED, _A.PAUSE): _S.PAUSED,
    (_S.PAUSED, _A.RESUME): _S.ACTIVE,
    (_S.PAUSED, _A.CANCEL): _S.CANCELED,
    (_S.PAST_DUE, _A.RECOVER): _S.ACTIVE,
    (_S.PAST_DUE, _A.CANCEL): _S.CANCELED,
    (_S.CANCELED, _A.CANCEL): _S.CANCELED,
    (_S.REJECTED, _A.REJECT): _S.REJECTED,
}
"""Repeating what is already so changes nothing: a client may retry after a lost answer."""

_PAYMENT_REASON = "payment_past_due"


def start(
    plan: PlanCopy | None, api: ApiCopy | None, *, subscription_id: UUID, organisation_id: UUID, plan_id: UUID,
    standing: Standing, now: datetime,
) -> Subscription:  # fmt: skip
    """A new subscription to a plan that is on sale: active at once, or waiting for the provider's approval."""
    if (
        plan is None
        or api is None
        or plan.status != "active"
        or api.status not in {"published", "deprecated"}
    ):
        raise PlanNotFound(plan_id)
    if not api.is_on_sale:
        raise ApiDeprecated(api.api_id)
    if standing is Standing.PAST_DUE:
        raise PaymentPastDue
    waiting = Subscription(
        id=subscription_id,
        version=1,
        organisation_id=organisation_id,
        provider_organisation_id=plan.provider_organisation_id,
        provider_slug=api.provider_slug,
        api_id=plan.api_id,
        api_slug=api.slug,
        plan_id=plan.plan_id,
        plan_version_id=plan.plan_version_id,
        status=Status.PENDING_APPROVAL,
        created_at=now,
        terms=plan.terms,
    )
    return waiting if plan.requires_approval else _begun(waiting, now=now)


def move(
    subscription: Subscription,
    action: Action,
    *,
    standing: Standing,
    now: datetime,
    reason: str | None = None,
) -> Subscription:
    """The subscription after `action`; the very same value when the action changes nothing."""
    target = TRANSITIONS.get((subscription.status, action))
    if target is None:
        raise InvalidTransition(subscription.status, action)
    if target is subscription.status:
        return subscription
    if action is Action.RESUME and standing is Standing.PAST_DUE:
        raise PaymentPastDue
    if target is Status.ACTIVE and standing is Standing.PAST_DUE:
        # Approved while a payment is overdue: it counts from now on, and calls wait for the payment.
        target = Status.PAST_DUE
    if target is subscription.status:
        return subscription
    moved = replace(subscription, version=subscription.version + 1)
    if target in STARTED and moved.started_at is None:
        moved = _begun(moved, now=now)
    if target is Status.CANCELED:
        moved = _ended(moved, now=now)
    return replace(moved, status=target, reason=_PAYMENT_REASON if target is Status.PAST_DUE else reason)


def _begun(subscription: Subscription, *, now: datetime) -> Subscription:
    first = Phase(subscription.plan_version_id, since=now, until=None, terms=subscription.terms)
    return replace(subscription, status=Status.ACTIVE, started_at=now, phases=(first,))


def _ended(subscription: Subscription, *, now: datetime) -> Subscription:
    phases = tuple(
        replace(phase, until=now) if phase.until is None else phase for phase in subscription.phases
    )
    return replace(subscription, canceled_at=now, phases=phases)
