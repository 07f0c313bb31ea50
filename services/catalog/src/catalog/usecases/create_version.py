"""Adding a version to an API."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import apis, documents, versions
from catalog.domain.api import Api, ApiVersion
from catalog.domain.errors import VersionExists
from catalog.domain.naming import checked_version
from catalog.domain.publishing import refuse_when_frozen
from catalog.domain.upstream import checked_base_url
from catalog.domain.versioning import no_longer_latest
from catalog.events.api_changed import ApiChanged
from catalog.events.version_changed import VersionChanged
from common import outbox


async def create_version(
    session: AsyncSession, api: Api, new: ApiVersion, *, allow_loopback: bool, now: datetime
) -> ApiVersion:
    """The API, which the caller has locked, has this version too, and it is the latest."""
    refuse_when_frozen(api.status)
    checked_version(new.name)
    if new.base_url is not None:
        new = replace(new, base_url=checked_base_url(new.base_url, allow_loopback=allow_loopback))
    if await versions.find(session, api.id, new.name) is not None:
        raise VersionExists(new.name)
    before = await versions.get_latest(session, api.id)
    if before is not None:
        before = no_longer_latest(before)
        await versions.update_version(session, before)
        endpoints = [endpoint for _, endpoint in await documents.list_endpoints(session, before.id)]
        await outbox.publish(session, VersionChanged.of(before, endpoints), now=now)
    await versions.insert_if_absent(session, new)
    await outbox.publish(session, VersionChanged.of(new, []), now=now)
    changed = replace(api, latest_version=new.name, version=api.version + 1, updated_at=now)
    await apis.update_api(session, changed)
    await outbox.publish(session, ApiChanged.of(changed), now=now)
    return new
