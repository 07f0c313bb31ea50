"""Moving an API along its life: submitted, published, deprecated, retired, or judged by an operator."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import apis, organisations, versions
from catalog.domain.api import Api
from catalog.domain.errors import OrganisationSuspended
from catalog.domain.publishing import Action, AdminAction, ApiStatus, next_status
from catalog.events.api_changed import ApiChanged
from catalog.metrics import STATUS_CHANGES
from common import outbox


async def change_status(
    session: AsyncSession, api: Api, action: Action | AdminAction, *, moderated: bool, now: datetime,
    note: str | None = None,
) -> Api:  # fmt: skip
    """The API, which the caller has locked, after `action`; unchanged when it is already there.

    `note` is what an operator tells the provider; it stays until the next change of status.
    """
    number_of_versions = await versions.count(session, api.id)
    status = next_status(api.status, action, versions=number_of_versions, moderated=moderated)
    if status is api.status:
        return api
    if status is ApiStatus.PUBLISHED:
        await _refuse_suspended_provider(session, api)
    published_at = api.published_at or (now if status is ApiStatus.PUBLISHED else None)
    changed = replace(
        api,
        status=status,
        version=api.version + 1,
        updated_at=now,
        published_at=published_at,
        review_note=note,
    )
    await apis.update_api(session, changed)
    await outbox.publish(session, ApiChanged.of(changed), now=now)
    STATUS_CHANGES.labels(status.value).inc()
    return changed


async def _refuse_suspended_provider(session: AsyncSession, api: Api) -> None:
    provider = await organisations.find(session, api.provider_organisation_id)
    if provider is not None and provider.status == "suspended":
        raise OrganisationSuspended
