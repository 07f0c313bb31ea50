"""Registering an API."""

from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import apis, categories, organisations
from catalog.db.organisations import Organisation
from catalog.domain.api import Api
from catalog.domain.errors import OrganisationSuspended, SlugTaken, UnknownCategory
from catalog.domain.naming import checked_slug
from catalog.domain.upstream import checked_base_url
from catalog.events.api_changed import ApiChanged
from catalog.metrics import APIS_REGISTERED
from common import outbox


async def register_api(
    session: AsyncSession, draft: Api, *, organisation_slug: str, allow_loopback: bool
) -> Api:
    """The draft is its organisation's, and only it sees it. `organisation_slug` is what the caller's token says."""
    checked_slug(draft.slug)
    base_url = checked_base_url(draft.base_url, allow_loopback=allow_loopback)
    category = await categories.find_slug(session, draft.category)
    if category is None:
        raise UnknownCategory(draft.category)
    provider = await _provider(session, draft.provider_organisation_id, slug=organisation_slug)
    if provider.status == "suspended":
        raise OrganisationSuspended
    created = replace(draft, base_url=base_url, category=category, provider_slug=provider.slug)
    if not await apis.insert_if_absent(session, created):  # the unique index decides, not a prior read
        raise SlugTaken(draft.slug)
    await outbox.publish(session, ApiChanged.of(created), now=created.created_at)
    APIS_REGISTERED.inc()
    return created


async def _provider(session: AsyncSession, organisation_id: UUID, *, slug: str) -> Organisation:
    """The organisation as accounts told of it, else as its token does: the event may be a moment behind."""
    new = Organisation(organisation_id, version=0, slug=slug, name=None, status="active")
    await organisations.insert_if_absent(session, new)
    return await organisations.find(session, organisation_id) or new
