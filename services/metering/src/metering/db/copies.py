"""Our copies of subscriptions and API versions, fed by their owners' events. Only a higher version changes a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.domain.call import Version
from metering.domain.matcher import Endpoint, Matcher

_PUT_SUBSCRIPTION = text("""
    INSERT INTO subscription AS t
        (subscription_id, version, consumer_org, provider_org, api_id, plan_version_id, status, quota)
    VALUES (:subscription_id, :version, :consumer_org, :provider_org, :api_id, :plan_version_id, :status, :quota)
    ON CONFLICT (subscription_id) DO UPDATE SET version = excluded.version, plan_version_id = excluded.plan_version_id,
        status = excluded.status, quota = excluded.quota
    WHERE excluded.version > t.version RETURNING subscription_id""")
_PUT_VERSION = text("""
    INSERT INTO api_version AS t (version_id, version, api_id, name) VALUES (:version_id, :version, :api_id, :name)
    ON CONFLICT (version_id) DO UPDATE SET version = excluded.version, name = excluded.name
    WHERE excluded.version > t.version RETURNING version_id""")
_RETIRE = text("UPDATE endpoint SET retired = true WHERE version_id = :version_id AND NOT retired")
_PUT_ENDPOINTS = text("""
    INSERT INTO endpoint (endpoint_id, version_id, method, path, weight, retired)
    SELECT e.endpoint_id, :version_id, e.method, e.path, e.weight, false
    FROM unnest(CAST(:ids AS uuid[]), CAST(:methods AS text[]), CAST(:paths AS text[]), CAST(:weights AS int[]))
         AS e (endpoint_id, method, path, weight)
    ON CONFLICT (endpoint_id) DO UPDATE SET version_id = excluded.version_id, method = excluded.method,
        path = excluded.path, weight = excluded.weight, retired = false""")
_VERSIONS = text("SELECT version_id, version, name FROM api_version")
_ENDPOINTS = text("""
    SELECT endpoint_id, version_id, method, path, weight FROM endpoint
    WHERE version_id = ANY(:versions) AND NOT retired ORDER BY endpoint_id""")


@dataclass(frozen=True, slots=True)
class SubscriptionCopy:
    """What metering knows of a subscription; `quota` is that of the terms now in force."""

    subscription_id: UUID
    version: int
    consumer_org: UUID
    provider_org: UUID
    api_id: UUID
    plan_version_id: UUID
    status: str
    quota: int | None


async def put_subscription(session: AsyncSession, copy: SubscriptionCopy) -> bool:
    """Store the copy; False when it is not newer than what is there."""
    return (await session.execute(_PUT_SUBSCRIPTION, asdict(copy))).first() is not None


async def put_version(
    session: AsyncSession,
    *,
    version_id: UUID,
    version: int,
    api_id: UUID,
    name: str,
    endpoints: Sequence[Endpoint],
) -> bool:
    """Store a version with its endpoints; those that it no longer has are retired. False when it is not newer."""
    values = {"version_id": version_id, "version": version, "api_id": api_id, "name": name}
    if (await session.execute(_PUT_VERSION, values)).first() is None:
        return False
    await session.execute(_RETIRE, {"version_id": version_id})
    rows = sorted({e.endpoint_id: e for e in endpoints}.values(), key=lambda e: e.endpoint_id)
    await session.execute(
        _PUT_ENDPOINTS,
        {
            "version_id": version_id, "ids": [e.endpoint_id for e in rows], "methods": [e.method for e in rows],
            "paths": [e.path for e in rows], "weights": [e.weight for e in rows],
        },
    )  # fmt: skip
    return True


class VersionCache:
    """The versions as attribution reads them, compiled; `refresh` loads only what changed."""

    def __init__(self) -> None:
        self._known: dict[UUID, int] = {}
        self.versions: dict[str, Version] = {}

    async def refresh(self, session: AsyncSession) -> None:
        """The cache holds every version as it is stored now."""
        rows = (await session.execute(_VERSIONS)).all()
        changed = {row.version_id: row for row in rows if self._known.get(row.version_id) != row.version}
        if not changed:
            return
        endpoints: dict[UUID, list[Endpoint]] = {version_id: [] for version_id in changed}
        for row in (await session.execute(_ENDPOINTS, {"versions": list(changed)})).all():
            endpoints[row.version_id].append(Endpoint(str(row.endpoint_id), row.method, row.path, row.weight))
        for version_id, row in changed.items():
            self.versions[str(version_id)] = Version(row.name, Matcher(endpoints[version_id]))
            self._known[version_id] = row.version
