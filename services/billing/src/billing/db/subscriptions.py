"""The copy of subscriptions, and their terms as first sold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from billing.domain.period import month_start
from billing.domain.subscription import Phase, SoldSubscription
from billing.domain.terms import read_terms


@dataclass(frozen=True, slots=True)
class SubscriptionRecord:
    """One version of a subscription as its event tells it; `phases` as JSON, `terms` by plan version."""

    subscription_id: UUID
    version: int
    organisation_id: UUID
    provider_organisation_id: UUID
    provider_slug: str
    api_id: UUID
    api_slug: str
    status: str
    started_at: datetime | None
    canceled_at: datetime | None
    phases: Sequence[Mapping[str, Any]]
    terms: Mapping[UUID, Mapping[str, Any]]


_PUT = text("""
    INSERT INTO subscription AS t (subscription_id, version, organisation_id, provider_organisation_id, provider_slug,
        api_id, api_slug, status, started_at, canceled_at, phases)
    VALUES (:subscription_id, :version, :organisation_id, :provider_organisation_id, :provider_slug, :api_id, :api_slug,
        :status, :started_at, :canceled_at, CAST(:phases AS jsonb))
    ON CONFLICT (subscription_id) DO UPDATE SET version = excluded.version, status = excluded.status,
        started_at = excluded.started_at, canceled_at = excluded.canceled_at, phases = excluded.phases
    WHERE excluded.version > t.version""")
# The first terms win for ever: a plan that is edited after the sale changes no line.
_SELL = text("""
    INSERT INTO sold_terms (subscription_id, plan_version_id, terms, recorded_at)
    VALUES (:subscription_id, :plan_version_id, CAST(:terms AS jsonb), :now) ON CONFLICT DO NOTHING""")
_ALTERED = text("""
    SELECT plan_version_id FROM sold_terms
    WHERE subscription_id = :subscription_id AND plan_version_id = :plan_version_id
        AND terms <> CAST(:terms AS jsonb)""")
_OF = text("SELECT * FROM subscription WHERE organisation_id = :organisation_id ORDER BY subscription_id")
_TERMS_OF = text("""
    SELECT t.subscription_id, t.plan_version_id, t.terms FROM sold_terms t JOIN subscription s USING (subscription_id)
    WHERE s.organisation_id = :organisation_id""")
_BUYERS = text("""
    SELECT DISTINCT organisation_id FROM subscription
    WHERE started_at < :until AND (canceled_at IS NULL OR canceled_at >= :ended_after)
        AND (CAST(:organisation_id AS uuid) IS NULL OR organisation_id = :organisation_id)""")


async def put(session: AsyncSession, record: SubscriptionRecord, *, now: datetime) -> list[UUID]:
    """The copy is at least as new as `record`. Returns the plan versions whose terms differ from those sold."""
    altered: list[UUID] = []
    for plan_version_id, terms in record.terms.items():
        names = {"subscription_id": record.subscription_id, "plan_version_id": plan_version_id}
        values = names | {"terms": json.dumps(terms)}
        await session.execute(_SELL, values | {"now": now})
        altered += (await session.scalars(_ALTERED, values)).all()
    await session.execute(
        _PUT,
        {
            "subscription_id": record.subscription_id, "version": record.version,
            "organisation_id": record.organisation_id,
            "provider_organisation_id": record.provider_organisation_id, "provider_slug": record.provider_slug,
            "api_id": record.api_id, "api_slug": record.api_slug, "status": record.status,
            "started_at": record.started_at, "canceled_at": record.canceled_at, "phases": json.dumps(record.phases),
        },
    )  # fmt: skip
    return altered


async def all_of(session: AsyncSession, organisation_id: UUID) -> list[SoldSubscription]:
    """Every sale to an organisation, each phase with its terms as sold."""
    names = {"organisation_id": organisation_id}
    terms = {
        (row.subscription_id, row.plan_version_id): read_terms(row.terms)
        for row in await session.execute(_TERMS_OF, names)
    }
    return [
        SoldSubscription(
            id=row.subscription_id,
            organisation_id=row.organisation_id,
            provider_organisation_id=row.provider_organisation_id,
            api_id=row.api_id,
            api_slug=row.api_slug,
            started_at=row.started_at,
            canceled_at=row.canceled_at,
            phases=tuple(
                Phase(
                    plan_version_id=(plan_version_id := UUID(phase["plan_version_id"])),
                    start=datetime.fromisoformat(phase["from"]),
                    until=datetime.fromisoformat(phase["until"]) if phase["until"] else None,
                    terms=terms[row.subscription_id, plan_version_id],
                )
                for phase in row.phases
            ),
        )
        for row in await session.execute(_OF, names)
    ]


async def buyers(session: AsyncSession, *, until: datetime, organisation_id: UUID | None) -> list[UUID]:
    """Organisations with a subscription that may still owe a fee at a cut-off at `until`."""
    ended_after = month_start(month_start(until) - timedelta(days=1))
    values = {"until": until, "ended_after": ended_after, "organisation_id": organisation_id}
    return list((await session.scalars(_BUYERS, values)).all())
