"""Editing an API's description, address and visibility."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import apis, categories
from catalog.domain.api import Api
from catalog.domain.api_settings import changed_settings, checked_settings
from catalog.domain.errors import UnknownCategory
from catalog.domain.publishing import refuse_when_frozen
from catalog.domain.upstream import checked_base_url
from catalog.events.api_changed import ApiChanged
from common import outbox


async def edit_api(
    session: AsyncSession, api: Api, changes: Mapping[str, Any], *, allow_loopback: bool, now: datetime
) -> Api:
    """The API, which the caller has locked, with `changes` made to it."""
    refuse_when_frozen(api.status)
    changes = dict(changes)
    settings = checked_settings(changed_settings(api.settings, changes.pop("settings", None) or {}))
    edited = replace(api, settings=settings, **changes)
    if edited.category != api.category:
        category = await categories.find_slug(session, edited.category)
        if category is None:
            raise UnknownCategory(edited.category)
        edited = replace(edited, category=category)
    if edited.base_url != api.base_url:
        edited = replace(edited, base_url=checked_base_url(edited.base_url, allow_loopback=allow_loopback))
    if edited == api:
        return api
    edited = replace(edited, version=api.version + 1, updated_at=now)
    await apis.update_api(session, edited)
    await outbox.publish(session, ApiChanged.of(edited), now=now)
    return edited
