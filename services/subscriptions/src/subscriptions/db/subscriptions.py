"""Rows of `subscription` and `phase`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from subscriptions.db.tables import IS_LIVE, phase, subscription
from subscriptions.domain.errors import SubscriptionNotFound
from subscriptions.domain.subscription import Phase, Status, Subscription


async def get(session: AsyncSession, subscription_id: UUID) -> Subscription:
    """The subscription as the session's scope may see it, or SubscriptionNotFound."""
    return await _one(
        session, select(subscription).where(subscription.c.id == subscription_id), subscription_id
    )


async def get_of_consumer(
    session: AsyncSession, subscription_id: UUID, *, organisation_id: UUID
) -> Subscription:
    """The organisation's own subscription, locked until the transaction ends."""
    query = select(subscription).where(
        subscription.c.id == subscription_id, subscription.c.organisation_id == organisation_id
    )
    return await _one(session, query.with_for_update(), subscription_id)


async def get_of_provider(
    session: AsyncSession, subscription_id: UUID, *, organisation_id: UUID
) -> Subscription:
    """A subscription to one of the organisation's APIs, locked until the transaction ends."""
    query = select(subscription).where(
        subscription.c.id == subscription_id, subscription.c.provider_organisation_id == organisation_id
    )
    return await _one(session, query.with_for_update(), subscription_id)


async def list_of_consumer(
    session: AsyncSession, *, organisation_id: UUID, status: Status | None, api_id: UUID | None,
    after: UUID | None, limit: int,
) -> list[Subscription]:  # fmt: skip
    """What the organisation has subscribed to, the newest first."""
    query = select(subscription).where(subscription.c.organisation_id == organisation_id)
    return await _list(session, query, status=status, api_id=api_id, after=after, limit=limit)


async def list_of_provider(
    session: AsyncSession, *, organisation_id: UUID, status: Status | None, api_id: UUID | None,
    after: UUID | None, limit: int,
) -> list[Subscription]:  # fmt: skip
    """Who has subscribed to the organisation's APIs, the newest first."""
    query = select(subscription).where(subscription.c.provider_organisation_id == organisation_id)
    return await _list(session, query, status=status, api_id=api_id, after=after, limit=limit)


async def lock_by_status(
    session: AsyncSession, *, organisation_id: UUID, status: Status
) -> list[Subscription]:
    """The organisation's subscriptions in this status, locked in id order."""
    query = select(subscription).where(
        subscription.c.organisation_id == organisation_id, subscription.c.status == status.value
    )
    rows = (await session.execute(query.order_by(subscription.c.id).with_for_update())).all()
    return await _with_phases(session, rows)


async def all_after(session: AsyncSession, after: UUID | None, *, limit: int) -> list[Subscription]:
    """Every subscription in id order, a batch at a time; for publishing them again."""
    query = select(subscription).order_by(subscription.c.id).limit(limit)
    rows = (await session.execute(query if after is None else query.where(subscription.c.id > after))).all()
    return await _with_phases(session, rows)


async def insert_if_absent(session: AsyncSession, new: Subscription) -> bool:
    """Whether the subscription is new; False when the organisation has a live one to this API."""
    statement = insert(subscription).values(_values(new))
    statement = statement.on_conflict_do_nothing(
        index_elements=["organisation_id", "api_id"],
        # A literal: with parameters PostgreSQL would not know the index any more once it plans for all values.
        index_where=IS_LIVE,
    )
    if (await session.execute(statement.returning(subscription.c.id))).first() is None:
        return False
    await _put_phases(session, new)
    return True


async def update_subscription(session: AsyncSession, changed: Subscription) -> None:
    """The subscription is as `changed` says. Its caller holds the row's lock."""
    statement = update(subscription).where(subscription.c.id == changed.id)
    await session.execute(statement.values(_values(changed)))
    await _put_phases(session, changed)


async def _one(session: AsyncSession, query: Select[Any], subscription_id: UUID) -> Subscription:
    rows = (await session.execute(query)).all()
    if not rows:
        raise SubscriptionNotFound(subscription_id)
    return (await _with_phases(session, rows))[0]


async def _list(
    session: AsyncSession, query: Select[Any], *, status: Status | None, api_id: UUID | None,
    after: UUID | None, limit: int,
) -> list[Subscription]:  # fmt: skip
    if status is not None:
        query = query.where(subscription.c.status == status.value)
    if api_id is not None:
        query = query.where(subscription.c.api_id == api_id)
    if after is not None:
        query = query.where(subscription.c.id < after)
    rows = (await session.execute(query.order_by(subscription.c.id.desc()).limit(limit))).all()
    return await _with_phases(session, rows)


async def _with_phases(session: AsyncSession, rows: Sequence[Row[Any]]) -> list[Subscription]:
    by_id: dict[UUID, list[Phase]] = {row.id: [] for row in rows}
    if by_id:
        query = select(phase).where(phase.c.subscription_id.in_(list(by_id))).order_by(phase.c.number)
        for row in await session.execute(query):
            by_id[row.subscription_id].append(Phase(row.plan_version_id, row.since, row.until, row.terms))
    return [
        Subscription(**dict(row._mapping) | {"status": Status(row.status), "phases": tuple(by_id[row.id])})
        for row in rows
    ]


async def _put_phases(session: AsyncSession, value: Subscription) -> None:
    for number, item in enumerate(value.phases):
        statement = insert(phase).values(
            subscription_id=value.id,
            number=number,
            organisation_id=value.organisation_id,
            provider_organisation_id=value.provider_organisation_id,
            plan_version_id=item.plan_version_id,
            since=item.since,
            until=item.until,
            terms=item.terms,
        )
        # What was in force is history: only the end of a phase is ever written again.
        ended = {"until": statement.excluded.until}
        await session.execute(
            statement.on_conflict_do_update(index_elements=["subscription_id", "number"], set_=ended)
        )


def _values(value: Subscription) -> dict[str, Any]:
    return {column.name: getattr(value, column.name) for column in subscription.c}
