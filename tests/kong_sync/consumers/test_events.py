"""Events as their owners write them become our copies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from common.db import Database
from common.ids import new_id
from kong_sync.consumers.api import ApiEvent, on_api
from kong_sync.consumers.key import KeyEvent, on_key
from kong_sync.consumers.quota import QuotaEvent, on_quota
from kong_sync.consumers.subscription import SubscriptionEvent, on_subscription
from kong_sync.consumers.version import VersionEvent, on_version
from kong_sync.db import copies
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import Endpoint, Tables
from tests.kong_sync.factories import NOW

IDS = {name: str(new_id()) for name in ("api", "version", "provider", "buyer", "subscription", "plan", "key")}
TERMS: dict[str, Any] = {
    "name": "Pro", "currency": "EUR", "billing_period": "monthly", "fixed_fee": 1900, "included_requests": 100,
    "usage_price": {"model": "flat"}, "quota": None, "first_period_allowance": "full",
    "rate_limits": {"second": 5, "minute": None, "hour": None, "day": None}, "trial_days": 0,
}  # fmt: skip
API = {
    "api_id": IDS["api"], "version": 4, "provider_organisation_id": IDS["provider"], "provider_slug": "acme",
    "slug": "pay", "name": "Pay", "description": "…", "base_url": "https://pay.example", "status": "published",
    "visibility": "public", "latest_version": "v1", "cors_origins": ["https://a.example"],
}  # fmt: skip
VERSION = {
    "version_id": IDS["version"], "version": 2, "api_id": IDS["api"], "provider_organisation_id": IDS["provider"],
    "name": "v1", "state": "active", "is_latest": True, "base_url": None, "deprecated_at": None, "sunset_at": None,
    "endpoints": [{"endpoint_id": str(new_id()), "method": "GET", "path": "/x", "weight": 1}],
}  # fmt: skip
SUBSCRIPTION = {
    "subscription_id": IDS["subscription"], "version": 3, "organisation_id": IDS["buyer"],
    "provider_organisation_id": IDS["provider"], "provider_slug": "acme", "api_id": IDS["api"], "api_slug": "pay",
    "plan_id": str(new_id()), "plan_version_id": IDS["plan"], "status": "active", "reason": None,
    "started_at": "2026-11-01T00:00:00Z", "canceled_at": None, "created_at": "2026-11-01T00:00:00Z",
    "limits_override": {"second": 50, "minute": None, "hour": None, "day": None},
    "phases": [{"plan_version_id": IDS["plan"], "from": "2026-11-01T00:00:00Z", "until": None, "terms": TERMS}],
}  # fmt: skip
KEY = {
    "key_id": IDS["key"], "version": 1, "subscription_id": IDS["subscription"], "organisation_id": IDS["buyer"],
    "api_id": IDS["api"], "name": "default", "prefix": "mk_live_abcd", "sha256": "ab" * 32, "mode": "live",
    "status": "active", "expires_at": None, "scopes": [],
}  # fmt: skip
QUOTA = {
    "subscription_id": IDS["subscription"], "version": 9, "period": "2026-11", "limit": 100, "used": 100,
    "state": "reached", "until": "2026-12-01T00:00:00Z",
}  # fmt: skip


async def told(db: Database, **changes: Any) -> Tables:
    """Our tables after one of each event."""
    async with db.begin() as session:
        await on_quota(session, QuotaEvent.model_validate(QUOTA), now=NOW)
        await on_key(session, KeyEvent.model_validate(KEY), now=NOW)
        await on_subscription(session, SubscriptionEvent.model_validate(SUBSCRIPTION | changes), now=NOW)
        await on_version(session, VersionEvent.model_validate(VERSION), now=NOW)
        await on_api(session, ApiEvent.model_validate(API), now=NOW)
        return await copies.all_tables(session)


async def test_each_event_becomes_a_row(worker_db: Database) -> None:
    tables = await told(worker_db)
    api, version = tables.apis[IDS["api"]], tables.versions[IDS["version"]]
    assert (api.provider_slug, api.slug, api.served, api.cors_origins) == (
        "acme",
        "pay",
        True,
        ("https://a.example",),
    )
    assert (version.name, version.known, version.is_latest, version.base_url) == ("v1", True, True, None)
    subscription = tables.subscriptions[IDS["subscription"]]
    assert subscription.limits_override == Limits(second=50)
    assert subscription.phases[0].limits == Limits(second=5)
    assert subscription.phases[0].since == datetime(2026, 11, 1, tzinfo=UTC)
    key = tables.keys[IDS["key"]]
    assert (key.sha256, key.status, key.changed_at) == ("ab" * 32, "active", NOW)
    assert tables.quotas[IDS["subscription"], "2026-11"].state == "reached"


async def test_a_subscription_without_terms_is_still_known(worker_db: Database) -> None:
    tables = await told(worker_db, phases=[], limits_override=None)
    assert tables.subscriptions[IDS["subscription"]].phases == ()


def test_a_key_in_place_of_its_digest_is_refused() -> None:
    with pytest.raises(ValidationError):
        KeyEvent.model_validate(KEY | {"sha256": "mk_live_" + "a" * 49})


async def test_scopes_are_taken_over_where_a_document_speaks_of_them(worker_db: Database) -> None:
    endpoint = VERSION["endpoints"][0]  # type: ignore[index]
    scoped = [endpoint | {"scopes": ["read"]}, endpoint | {"path": "/y", "scopes": None}]
    async with worker_db.begin() as session:
        for version, endpoints in ((3, scoped), (4, scoped[1:])):
            told = VERSION | {"version": version, "endpoints": endpoints}
            await on_version(session, VersionEvent.model_validate(told), now=NOW)
            await on_key(
                session, KeyEvent.model_validate(KEY | {"version": version, "scopes": ["read"]}), now=NOW
            )
            tables = await copies.all_tables(session)
            expected = (Endpoint("GET", "/x", ("read",)), Endpoint("GET", "/y", None)) if version == 3 else ()
            assert tables.versions[IDS["version"]].endpoints == expected
    assert tables.keys[IDS["key"]].scopes == ("read",)
