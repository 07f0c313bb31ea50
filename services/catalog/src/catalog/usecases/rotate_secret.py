"""Giving an API's provider new secrets to know the gateway by."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import apis
from catalog.domain.api import Api
from catalog.events.api_changed import ApiChanged
from common import outbox


async def rotate_secret(session: AsyncSession, api: Api, *, from_epoch: int, now: datetime) -> Api:
    """The API, which the caller has locked, is past `from_epoch`. A repeated request changes nothing.

    The gateway sends the proofs of the present epoch and of the one before: the provider's old secret holds until the
    next rotation. Also for a suspended API: a secret that leaked cannot wait.
    """
    if api.upstream_epoch != from_epoch:
        return api
    rotated = replace(api, upstream_epoch=from_epoch + 1, version=api.version + 1, updated_at=now)
    await apis.update_api(session, rotated)
    await outbox.publish(session, ApiChanged.of(rotated), now=now)
    return rotated
