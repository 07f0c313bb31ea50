"""Partitions are shared out among those who take part, whoever comes or goes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest

from common.db import Database
from common.leader import LeadershipLost
from metering.db.claims import Claims, claims

TOPIC = "gateway.requests.v1"


async def shares(*readers: Claims, partitions: int = 5, rounds: int = 3) -> list[list[int]]:
    """What each holds once everybody has looked again some times."""
    held: list[list[int]] = []
    for _ in range(rounds):
        held = [await reader.renew(range(partitions)) for reader in readers]
    return held


async def test_alone_one_reads_all_and_what_is_added(worker_db: Database) -> None:
    async with claims(worker_db, TOPIC) as one:
        assert await one.renew(range(4)) == [0, 1, 2, 3]
        assert await one.renew(range(6)) == [0, 1, 2, 3, 4, 5]


async def test_newcomers_get_a_fair_share_and_those_who_end_leave_theirs(worker_db: Database) -> None:
    async with AsyncExitStack() as stay:
        first, second = [await stay.enter_async_context(claims(worker_db, TOPIC)) for _ in range(2)]
        assert await first.renew(range(5)) == [0, 1, 2]
        assert await shares(first, second) == [[0, 1, 2], [3, 4]]
        async with AsyncExitStack() as pass_by:
            others = [await pass_by.enter_async_context(claims(worker_db, TOPIC)) for _ in range(4)]
            held = await shares(first, second, *others)
            assert sorted(number for numbers in held for number in numbers) == [0, 1, 2, 3, 4]
            assert max(map(len, held)) == 1  # six readers of five partitions: one waits
        await _until_only(worker_db, 2)
        held = await shares(first, second)
        assert sorted(held[0] + held[1]) == [0, 1, 2, 3, 4]
        assert sorted(map(len, held)) == [2, 3]


async def test_another_topic_is_another_matter(worker_db: Database) -> None:
    async with claims(worker_db, TOPIC) as one, claims(worker_db, "another") as other:
        assert await one.renew(range(2)) == await other.renew(range(2)) == [0, 1]


async def test_whose_connection_is_gone_hears_of_it(worker_db: Database) -> None:
    async with claims(worker_db, TOPIC) as one, claims(worker_db, TOPIC) as other:
        await one.renew(range(4))
        await one._connection.execute("SELECT 1")
        one._connection.terminate()
        with pytest.raises(LeadershipLost):
            one.check()
        with pytest.raises(LeadershipLost):
            await one.renew(range(4))
        await _until_only(worker_db, 1)
        assert await other.renew(range(4)) == [0, 1, 2, 3]


async def _until_only(db: Database, present: int) -> None:
    """PostgreSQL has noticed who is gone: a moment after the connection was closed."""
    connection = await asyncpg.connect(db.url.replace("+asyncpg", ""))
    try:
        async with asyncio.timeout(10):
            while await connection.fetchval(
                "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            ) != present:  # fmt: skip
                await asyncio.sleep(0.01)
    finally:
        await connection.close()
