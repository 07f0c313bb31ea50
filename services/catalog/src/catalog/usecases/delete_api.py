"""Deleting an API that was never public."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import apis, plans, versions
from catalog.domain.api import Api, PlanStatus
from catalog.domain.errors import ApiWasPublished
from catalog.domain.publishing import ApiStatus
from catalog.domain.versioning import withdrawn
from catalog.events.api_changed import ApiChanged
from catalog.events.plan_changed import PlanChanged
from catalog.events.version_changed import VersionChanged
from common import outbox


async def delete_api(session: AsyncSession, api: Api, *, now: datetime) -> None:
    """The API, which the caller has locked, is gone with all that hangs on it; others hear that it is retired."""
    if api.published_at is not None:
        raise ApiWasPublished
    gone = replace(api, status=ApiStatus.RETIRED, latest_version=None, version=api.version + 1)
    for plan in await plans.list_of_api(session, api.id):
        archived = replace(plan, status=PlanStatus.ARCHIVED, version=plan.version + 1)
        await outbox.publish(session, PlanChanged.of(archived, gone), now=now)
    for version in await versions.list_of_api(session, api.id):
        await outbox.publish(session, VersionChanged.of(withdrawn(version), []), now=now)
    await outbox.publish(session, ApiChanged.of(gone), now=now)
    await apis.delete_api(session, api.id)
