"""Following what accounts says of an organisation."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import apis, organisations, plans
from catalog.db.organisations import Organisation
from catalog.events.api_changed import ApiChanged
from catalog.events.plan_changed import PlanChanged
from common import outbox


async def adopt_organisation(session: AsyncSession, organisation: Organisation, *, now: datetime) -> None:
    """The organisation is known as it now is; its APIs and plans stand under its present slug."""
    if not await organisations.put(session, organisation):
        return
    for api in await apis.lock_of_provider(session, organisation.organisation_id):
        if api.provider_slug == organisation.slug:
            continue
        moved = replace(api, provider_slug=organisation.slug, version=api.version + 1, updated_at=now)
        await apis.update_api(session, moved)
        await outbox.publish(session, ApiChanged.of(moved), now=now)
        for plan in await plans.list_of_api(session, api.id):
            newer = replace(plan, version=plan.version + 1)
            await plans.update_plan(session, newer)
            await outbox.publish(session, PlanChanged.of(newer, moved), now=now)
