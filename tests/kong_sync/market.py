"""A small marketplace in our tables: told through the same functions as shipped."""

from __future__ import annotations

from datetime import datetime

from common.db import Database
from kong_sync.db import copies
from kong_sync.domain.records import Tables


async def tell(worker_db: Database, tables: Tables) -> None:
    """Our copies hold `tables`; a row is taken only when its version is higher than the stored one."""
    async with worker_db.begin() as session:
        for api in tables.apis.values():
            await copies.put_api(session, api)
        for version in tables.versions.values():
            await copies.put_version(session, version)
        for subscription in tables.subscriptions.values():
            await copies.put_subscription(session, subscription)
        for key in tables.keys.values():
            await copies.put_key(session, key)
        for quota in tables.quotas.values():
            await copies.put_quota(session, quota)


def unix(at: datetime) -> int:
    return int(at.timestamp())
