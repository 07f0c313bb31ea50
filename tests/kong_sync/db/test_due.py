"""Who is to be stopped, as the database says it of many and the domain of one."""

from __future__ import annotations

import itertools
from datetime import timedelta

from common.db import Database
from kong_sync.db import applied, due
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.standing import is_known, stop_of
from tests.kong_sync.factories import NOW, a_quota, a_subscription, an_id, only
from tests.kong_sync.market import tell


def with_access(subscription_id: str) -> Entity:
    owner = Owner(Concern.SUBSCRIPTION, subscription_id)
    return Entity(Kind.ACL, an_id(f"acl {subscription_id}"), owner, {"group": "g"})


async def test_whoever_may_not_call_and_can_is_to_be_stopped(worker_db: Database) -> None:
    statuses = ("active", "paused", "past_due", "canceled", "pending_approval", "rejected", "never heard of")
    quotas = {
        "none": None, "ok": ("ok", NOW + timedelta(1)), "reached": ("reached", NOW + timedelta(1)),
        "over": ("reached", NOW),
    }  # fmt: skip
    expected = set()
    for status, (name, state) in itertools.product(statuses, quotas.items()):
        subscription = a_subscription(id=an_id(f"{status} {name}"), status=status)
        mine = [a_quota(subscription_id=subscription.id, state=state[0], until=state[1])] if state else []
        await tell(worker_db, only(subscriptions=[subscription], quotas=mine))
        async with worker_db.begin() as session:
            await applied.put(session, [with_access(subscription.id)], acknowledged=True)
        if stop_of(subscription, mine, now=NOW) or not is_known(subscription, now=NOW):
            expected.add(Owner(Concern.SUBSCRIPTION, subscription.id))
    async with worker_db.begin() as session:
        found = await due.to_stop(session, now=NOW, limit=100, besides=())
        assert set(found) == expected
        assert len(await due.to_stop(session, now=NOW, limit=2, besides=())) == 2
        one = min(expected, key=lambda owner: owner.id)
        assert set(await due.to_stop(session, now=NOW, limit=100, besides=[one])) == expected - {one}


async def test_whoever_is_served_or_has_no_access_is_left_alone(worker_db: Database) -> None:
    without = a_subscription(id=an_id("without"), status="paused")
    served = a_subscription(id=an_id("served"), status="paused")
    await tell(worker_db, only(subscriptions=[without, served]))
    async with worker_db.begin() as session:
        await applied.put(session, [with_access(served.id)], acknowledged=False)
        assert [owner.id for owner in await due.to_stop(session, now=NOW, limit=9, besides=())] == [served.id]
        notes = [note for note in await due.take(session, now=NOW, limit=9) if note.owner.id == served.id]
        await due.settle(session, notes, {})
        assert await due.to_stop(session, now=NOW, limit=9, besides=()) == {}
        assert [note.owner.id for note in await due.take(session, now=NOW, limit=9)] == [without.id]
