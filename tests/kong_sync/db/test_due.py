"""Of whom a stop was noted, and who may have access in Kong."""

from __future__ import annotations

from dataclasses import replace

from common.db import Database
from kong_sync.db import applied, due
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from tests.kong_sync.factories import NOW, a_key, a_quota, a_subscription, an_id, only
from tests.kong_sync.market import tell


def of(subscription_id: str) -> Owner:
    return Owner(Concern.SUBSCRIPTION, subscription_id)


def with_access(subscription_id: str) -> Entity:
    return Entity(Kind.ACL, an_id(f"acl {subscription_id}"), of(subscription_id), {"group": "g"})


async def test_a_stop_is_noted_of_whoever_may_call_less_than_before(worker_db: Database) -> None:
    names = ("active", "paused", "canceled", "reached", "revoked", "fewer scopes", "more scopes")
    many = {name: a_subscription(id=an_id(name)) for name in names}
    for name in ("paused", "canceled"):
        many[name] = replace(many[name], status=name)
    keys = [
        a_key(id=an_id(f"key {name}"), subscription_id=many[name].id, scopes=("a", "b"), sha256=f"{at}" * 64)
        for at, name in enumerate(("revoked", "fewer scopes", "more scopes"))
    ]
    await tell(worker_db, only(subscriptions=many.values(), keys=keys))
    revoked, fewer, more = keys
    newer = [
        replace(revoked, version=2, status="revoked"),
        replace(fewer, version=2, scopes=("a",)),
        replace(more, version=2, scopes=("a", "b", "c")),
    ]
    reached = [a_quota(subscription_id=many["reached"].id, state="reached")]
    await tell(worker_db, only(keys=newer, quotas=reached))
    async with worker_db.begin() as session:
        await applied.put(session, [with_access(one.id) for one in many.values()], acknowledged=True)
        found = await due.stops(session, limit=100, besides=())
        stopped = ("paused", "canceled", "reached", "revoked", "fewer scopes")
        assert set(found) == {of(many[name].id) for name in stopped}
        assert len(await due.stops(session, limit=2, besides=())) == 2
        seen = found[of(many["paused"].id)].seqs
        assert set(await due.stops(session, limit=100, besides=seen)) == set(found) - {of(many["paused"].id)}


async def test_whoever_is_served_or_has_no_access_is_left_alone(worker_db: Database) -> None:
    without = a_subscription(id=an_id("without"), status="paused")
    served = a_subscription(id=an_id("served"), status="paused")
    await tell(worker_db, only(subscriptions=[without, served]))
    async with worker_db.begin() as session:
        await applied.put(session, [with_access(served.id)], acknowledged=False)
        assert [owner.id for owner in await due.stops(session, limit=9, besides=())] == [served.id]
        notes = [note for note in await due.take(session, now=NOW, limit=9) if note.owner.id == served.id]
        await due.settle(session, notes, {})
        assert await due.stops(session, limit=9, besides=()) == {}
        assert [note.owner.id for note in await due.take(session, now=NOW, limit=9)] == [without.id]


async def test_an_owner_is_taken_once_with_all_notes(worker_db: Database) -> None:
    first, second, third = (a_subscription(id=an_id(name)) for name in ("first", "second", "third"))
    key = a_key(subscription_id=first.id)
    await tell(worker_db, only(subscriptions=[first, second, third], keys=[key]))
    async with worker_db.begin() as session:
        taken = await due.take(session, now=NOW, limit=2, besides=[of(third.id)])
        assert [note.owner.id for note in taken] == [first.id, second.id, first.id]
