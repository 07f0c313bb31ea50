"""Data of subscriptions, valid by default."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from httpx import AsyncClient

from common.db import Database
from subscriptions.consumers.api import ApiEvent, on_api
from subscriptions.consumers.plan import PlanEvent, on_plan
from subscriptions.consumers.standing import StandingEvent, on_standing
from subscriptions.consumers.version import VersionEvent, on_version
from subscriptions.domain.api_key import ApiKey
from subscriptions.domain.subscription import ApiCopy, Phase, PlanCopy, Status, Subscription
from tests.support.clock import NOON

ACME = UUID("01900000-0000-7000-8000-0000000000a1")
GLOBEX = UUID("01900000-0000-7000-8000-0000000000b2")
INITECH = UUID("01900000-0000-7000-8000-0000000000c3")
API = UUID("01900000-0000-7000-8000-000000000011")
VERSION = UUID("01900000-0000-7000-8000-000000000021")
PLAN = UUID("01900000-0000-7000-8000-000000000041")
PLAN_VERSION = UUID("01900000-0000-7000-8000-000000000051")
SUBSCRIPTION = UUID("01900000-0000-7000-8000-000000000061")
KEY = UUID("01900000-0000-7000-8000-000000000071")


def some_terms(**overrides: Any) -> dict[str, Any]:
    return {
        "name": "Pro",
        "currency": "EUR",
        "billing_period": "monthly",
        "fixed_fee": 1900,
        "included_requests": 100,
        "usage_price": {"model": "per_unit", "unit_price": "0.5"},
        "quota": None,
        "first_period_allowance": "prorated",
        "rate_limits": {"second": 10, "minute": None, "hour": None, "day": None},
        "trial_days": 0,
    } | overrides


def an_api_event(**overrides: Any) -> ApiEvent:
    return ApiEvent.model_validate(
        {
            "api_id": API, "version": 3, "provider_organisation_id": ACME, "provider_slug": "acme",
            "slug": "rates", "name": "Rates", "status": "published", "visibility": "public",
        } | overrides
    )  # fmt: skip


def a_plan_event(**overrides: Any) -> PlanEvent:
    return PlanEvent.model_validate(
        {
            "plan_id": PLAN, "version": 1, "plan_version_id": PLAN_VERSION, "api_id": API, "api_slug": "rates",
            "provider_organisation_id": ACME, "provider_slug": "acme", "status": "active",
            "requires_approval": False, "terms": some_terms(),
        } | overrides
    )  # fmt: skip


def a_version_event(*scopes: list[str] | None, **overrides: Any) -> VersionEvent:
    """A version whose endpoints ask for these."""
    return VersionEvent.model_validate(
        {
            "version_id": VERSION, "version": 1, "api_id": API, "state": "active",
            "endpoints": [{"scopes": asked} for asked in scopes],
        } | overrides
    )  # fmt: skip


async def put_on_sale(worker_db: Database, **plan: Any) -> None:
    """The catalogue's events have arrived: the API is published and the plan is sold."""
    async with worker_db.begin() as session:
        await on_api(session, an_api_event(), now=NOON)
        await on_plan(session, a_plan_event(**plan), now=NOON)
        await on_version(session, a_version_event(["read"], ["read", "write"], [], None), now=NOON)


async def set_standing(
    worker_db: Database, standing: str, *, version: int, organisation_id: UUID = GLOBEX
) -> None:
    """Billing's word on an organisation has arrived."""
    event = StandingEvent.model_validate(
        {"organisation_id": organisation_id, "version": version, "standing": standing, "since": NOON}
    )
    async with worker_db.begin() as session:
        await on_standing(session, event, now=NOON)


def a_plan(**overrides: Any) -> PlanCopy:
    return replace(PlanCopy(**a_plan_event().model_dump()), **overrides)


def an_api(**overrides: Any) -> ApiCopy:
    return replace(ApiCopy(**an_api_event().model_dump()), **overrides)


def a_subscription(**overrides: Any) -> Subscription:
    base = Subscription(
        id=SUBSCRIPTION, version=1, organisation_id=GLOBEX, provider_organisation_id=ACME, provider_slug="acme",
        api_id=API, api_slug="rates", plan_id=PLAN, plan_version_id=PLAN_VERSION, status=Status.ACTIVE,
        created_at=NOON, started_at=NOON, terms=some_terms(),
        phases=(Phase(PLAN_VERSION, since=NOON, until=None, terms=some_terms()),),
    )  # fmt: skip
    return replace(base, **overrides)


def a_key(**overrides: Any) -> ApiKey:
    base = ApiKey(
        id=KEY, version=1, subscription_id=SUBSCRIPTION, organisation_id=GLOBEX, api_id=API, name="default",
        prefix="mk_live_0aB1", sha256="9f" * 32, created_at=NOON,
    )  # fmt: skip
    return replace(base, **overrides)


async def subscribe(client: AsyncClient, headers: dict[str, str], **body: Any) -> dict[str, Any]:
    """`{subscription, key}` of a new subscription to PLAN."""
    answer = await client.post("/v1/subscriptions", json={"plan_id": str(PLAN)} | body, headers=headers)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created
