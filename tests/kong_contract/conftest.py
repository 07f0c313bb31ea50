"""What kong-sync relies on, asked of the gateway double, or with `--kong` of the Kong that the environment names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.kong_contract.corner import KINDS, Corner
from tests.kong_contract.listener import Listener
from tests.kong_contract.target import Target, named_target
from tests.kong_sync.double import Double

Inventory = set[tuple[str, str]]


async def _inventory(target: Target) -> Inventory:
    """Kind and id of everything in Kong."""
    found: Inventory = set()
    async with httpx.AsyncClient(base_url=target.admin_url, timeout=30) as admin:
        for kind in KINDS:
            path: str | None = f"/{kind}?size=1000"
            while path:
                page = (await admin.get(path)).json()
                found |= {(kind, one["id"]) for one in page["data"]}
                path = page["next"]
    return found


async def _check_usable(target: Target) -> None:
    """Ends the run, saying why, when the named Kong cannot be tested."""
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            root = (await client.get(target.admin_url)).raise_for_status().json()
            await client.get(target.proxy_url)
    except (httpx.HTTPError, ValueError) as error:
        pytest.exit(f"No Kong at {target.admin_url} and {target.proxy_url}: {error!r}", returncode=1)
    if root["configuration"]["database"] == "off":
        pytest.exit("This Kong has no database, so that its Admin API takes no writes.", returncode=1)


@pytest.fixture(scope="session")
async def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Target]:
    """The Kong under test, which holds the same entities afterwards as before."""
    double = None
    if request.config.getoption("--kong"):
        named = named_target()
        if named is None:
            pytest.exit("--kong needs KONG_ADMIN_URL and KONG_PROXY_URL", returncode=2)
        await _check_usable(named)
    else:
        # a delay, so that a test that does not wait for Kong to load its change fails here too
        double = Double(Path(tmp_path_factory.mktemp("contract")), propagation_seconds=0.2)
        await double.start()
        named = Target(double.admin_url, double.proxy_url)
    before = await _inventory(named)
    yield named
    left = await _inventory(named) ^ before
    if double is not None:
        await double.kill()
    assert left == set()


@pytest.fixture
async def corner(target: Target) -> AsyncIterator[Corner]:
    made = Corner(target)
    yield made
    await made.leave()


@pytest.fixture
async def upstream(target: Target) -> AsyncIterator[Listener]:
    """A provider's server."""
    async with Listener(target) as started:
        yield started


@pytest.fixture
async def sink(target: Target) -> AsyncIterator[Listener]:
    """Where Kong posts its log."""
    async with Listener(target) as started:
        yield started
