"""An acknowledgement counts only if the same cluster still answers after it; many share one look."""

from __future__ import annotations

import asyncio

import pytest

from metering.clients.kafka_log import SharedLook


class Cluster:
    """Counts the looks, and lets each end when it is told to."""

    def __init__(self) -> None:
        self.begun, self.at_once = 0, 0
        self.answers: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def look(self) -> None:
        self.begun += 1
        self.at_once += 1
        assert self.at_once == 1
        try:
            answer = await self.answers.get()
        finally:
            self.at_once -= 1
        if answer is not None:
            raise answer


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_whoever_asks_during_a_look_waits_for_the_next_one_and_all_of_them_share_it(
    cluster: Cluster,
) -> None:
    shared = SharedLook(cluster.look)
    first = asyncio.create_task(shared.after_now())
    await settle()
    later = [asyncio.create_task(shared.after_now()) for _ in range(50)]
    await settle()
    assert cluster.begun == 1
    cluster.answers.put_nowait(None)
    await first
    await settle()
    assert (cluster.begun, sum(task.done() for task in later)) == (2, 0)
    cluster.answers.put_nowait(None)
    await asyncio.gather(*later)
    assert cluster.begun == 2


async def test_a_look_that_fails_fails_all_who_share_it_and_nobody_else(cluster: Cluster) -> None:
    shared = SharedLook(cluster.look)
    first = asyncio.create_task(shared.after_now())
    await settle()
    sharing = [asyncio.create_task(shared.after_now()) for _ in range(2)]
    await settle()
    cluster.answers.put_nowait(None)
    cluster.answers.put_nowait(ValueError("another cluster"))
    await first
    assert [str(e) for e in await asyncio.gather(*sharing, return_exceptions=True)] == ["another cluster"] * 2
    cluster.answers.put_nowait(None)
    await shared.after_now()


async def test_one_who_gives_up_takes_the_look_from_nobody(cluster: Cluster) -> None:
    shared = SharedLook(cluster.look)
    impatient = asyncio.create_task(shared.after_now())
    patient = asyncio.create_task(shared.after_now())
    await settle()
    impatient.cancel()
    await settle()
    cluster.answers.put_nowait(None)
    await patient
    assert (impatient.cancelled(), cluster.begun) == (True, 1)
