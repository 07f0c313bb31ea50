"""Finding what a request is about, as far as its caller may see it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.api.bodies import is_own
from catalog.db import apis
from catalog.domain.api import Api
from catalog.domain.errors import ApiNotFound
from common.http.auth import Caller


async def visible_api(session: AsyncSession, api_id: UUID, caller: Caller | None) -> Api:
    """The API, when it is public or the caller's own; else ApiNotFound. Row-level security says the same."""
    return refuse_hidden(await apis.get(session, api_id), caller)


def refuse_hidden(api: Api, caller: Caller | None) -> Api:
    """The API itself, when it is public or the caller's own."""
    if not api.is_visible and not is_own(api, caller):
        raise ApiNotFound(api_id=str(api.id))
    return api
