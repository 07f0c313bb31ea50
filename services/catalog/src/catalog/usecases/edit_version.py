"""Editing a version: its changelog, and the dates of its end."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import documents, versions
from catalog.domain.api import Api, ApiVersion
from catalog.domain.publishing import refuse_when_frozen
from catalog.domain.versioning import scheduled
from catalog.events.version_changed import VersionChanged
from common import outbox


async def edit_version(
    session: AsyncSession, api: Api, version: ApiVersion, changes: Mapping[str, Any], *, now: datetime
) -> ApiVersion:
    """The version of the API, which the caller has locked, with `changes` made to it."""
    refuse_when_frozen(api.status)
    edited = replace(version, **changes)
    edited = scheduled(edited, deprecated_at=edited.deprecated_at, sunset_at=edited.sunset_at, now=now)
    if edited == version:
        return version
    edited = replace(edited, version=version.version + 1)
    await versions.update_version(session, edited)
    endpoints = [endpoint for _, endpoint in await documents.list_endpoints(session, edited.id)]
    await outbox.publish(session, VersionChanged.of(edited, endpoints), now=now)
    return edited
