"""Which partitions of a topic a process reads: a fair share of them, and none that another process reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from common.db import Database
from common.leader import Leader, lock_connection

# Whoever takes part holds this number shared, beside the partitions that are its own: so they can be counted.
_PRESENT = 2**31 - 1
_COUNT = f"""
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND objid = {_PRESENT}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND CAST(classid AS bigint) = CAST(hashtext($1) AS bigint) & {2**32 - 1}"""


class Claims(Leader):
    """Partitions held by session-level advisory locks. They are for economy, not for exactness, as leadership is:
    a batch that is recorded needs its own fence.
    """

    def __init__(self, connection: asyncpg.Connection, topic: str) -> None:
        super().__init__(connection)
        self._topic = topic
        self._held: set[int] = set()

    async def renew(self, partitions: Sequence[int]) -> list[int]:
        """Those of `partitions` that are ours from now on, in order.

        What is more than a fair share is let go, so nothing of it may be under way. What lacks to one is taken
        from what nobody holds: after a change of who takes part it may need another call or two.
        """
        self.check()
        present = await self._connection.fetchval(_COUNT, self._topic)
        share = -(-len(partitions) // present)
        for surplus in sorted(self._held)[share:]:
            await self._ask("pg_advisory_unlock", surplus)
            self._held.remove(surplus)
        for partition in partitions:
            if len(self._held) >= share:
                break
            if partition not in self._held and await self._ask("pg_try_advisory_lock", partition):
                self._held.add(partition)
        return sorted(self._held)

    async def _ask(self, function: str, number: int) -> bool:
        answer: bool = await self._connection.fetchval(
            f"SELECT {function}(hashtext($1), $2)", self._topic, number
        )
        return answer


@asynccontextmanager
async def claims(db: Database, topic: str) -> AsyncIterator[Claims]:
    """This process takes part in reading `topic`; at the end it holds nothing."""
    async with lock_connection(db) as connection:
        await connection.execute("SELECT pg_advisory_lock_shared(hashtext($1), $2)", topic, _PRESENT)
        yield Claims(connection, topic)
