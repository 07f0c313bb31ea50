"""Some seeds of the simulation, and the proof that it notices what it is for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.embedded.databases import DatabaseUrls
from metering.consumers import requests as consumer
from metering.db import request_log
from tests.faults import broken as variants
from tests.simulation.__main__ import drop_unique_index, simulate


@pytest.fixture
def service() -> str:
    return "metering"


async def test_a_hundred_seeds_break_no_invariant(urls: DatabaseUrls) -> None:
    found = await simulate(urls, range(1, 101))
    assert found.broken == {}
    assert found.seeds == 100
    # They were not idle: processes died, were fenced off, met a log that jumped, and lost an acknowledgement.
    assert {"Crash", "Fenced", "LogTruncated", "fold Crash", "relay Crash", "relay KafkaTimeoutError"} <= set(
        found.met
    )


@pytest.fixture
def shipped_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a control replaces is put back afterwards."""
    with monkeypatch.context() as patch:
        for module, name in (
            (consumer, "record_calls"),
            (request_log, "insert_new"),
            (request_log, "_INSERT"),
        ):
            patch.setattr(module, name, getattr(module, name))
        yield


@pytest.mark.usefixtures("shipped_again")
@pytest.mark.parametrize("control", ["offsets before data", "rollups counting duplicates"])
async def test_a_consumer_made_wrong_breaks_one_of_the_first_hundred_seeds(
    urls: DatabaseUrls, control: str
) -> None:
    variants.VARIANTS[control]()
    found = await simulate(urls, range(1, 101))
    assert found.broken


@pytest.mark.usefixtures("shipped_again")
async def test_without_the_unique_index_one_of_the_first_hundred_seeds_breaks(urls: DatabaseUrls) -> None:
    await drop_unique_index(urls)
    variants.without_unique_index()
    found = await simulate(urls, range(1, 101))
    assert any("stand twice" in text for texts in found.broken.values() for text in texts)


async def test_a_seed_that_is_played_again_goes_the_same_way(urls: DatabaseUrls) -> None:
    first, second = await simulate(urls, range(7, 12)), await simulate(urls, range(7, 12))
    assert first.met == second.met
