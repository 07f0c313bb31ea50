"""Publishing everything again."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import apis, documents, plans, versions
from catalog.events.api_changed import ApiChanged
from catalog.events.plan_changed import PlanChanged
from catalog.events.version_changed import VersionChanged
from common import outbox

_BATCH = 200


async def republish(session: AsyncSession, now: datetime) -> int:
    """Every API, version and plan is in the outbox as it now stands, same version, same event id. Returns how many."""
    return await _versions(session, now) + await _apis_and_plans(session, now)


async def _versions(session: AsyncSession, now: datetime) -> int:
    sent, after = 0, None
    while batch := await versions.all_after(session, after, limit=_BATCH):
        for version in batch:
            endpoints = [endpoint for _, endpoint in await documents.list_endpoints(session, version.id)]
            await outbox.publish(session, VersionChanged.of(version, endpoints), now=now)
        sent, after = sent + len(batch), batch[-1].id
    return sent


async def _apis_and_plans(session: AsyncSession, now: datetime) -> int:
    sent = 0
    after: UUID | None = None
    while batch := await apis.all_after(session, after, limit=_BATCH):
        for api in batch:
            of_api = await plans.list_of_api(session, api.id)
            await outbox.publish(session, ApiChanged.of(api), now=now)
            for plan in of_api:
                await outbox.publish(session, PlanChanged.of(plan, api), now=now)
            sent += 1 + len(of_api)
        after = batch[-1].id
    return sent
