"""Fixtures that every room shares. Data comes from each room's factories, not from here."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from common.db import Database
from devstack.embedded.databases import DatabaseUrls
from tests.support.broker import Broker
from tests.support.clock import FixedClock
from tests.support.databases import Databases
from tests.support.tokens import TokenMaker


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kong", action="store_true",
        help="run tests/kong_contract against the Kong that KONG_ADMIN_URL and KONG_PROXY_URL name",
    )  # fmt: skip


def pytest_configure() -> None:
    # No test asserts how long anything takes; on a busy machine making an example may be slow, too.
    settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")
    # Whoever starts the tests in a shell's background makes them deaf to SIGINT, and with them all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
async def databases() -> AsyncIterator[Databases]:
    started = await Databases.start()
    yield started
    await started.stop()


@pytest.fixture
def service() -> str:
    """The service whose database a test gets; each service's conftest.py overrides it."""
    raise LookupError("this folder's conftest.py names no service")


@pytest.fixture
async def urls(databases: Databases, service: str) -> AsyncIterator[DatabaseUrls]:
    cloned = await databases.clone(service)
    yield cloned
    await databases.drop(cloned)


@pytest.fixture
async def db(urls: DatabaseUrls) -> AsyncIterator[Database]:
    """The database as the service's API role, which row-level security binds."""
    database = Database(urls.api, name="test")
    yield database
    await database.dispose()


@pytest.fixture
async def worker_db(urls: DatabaseUrls) -> AsyncIterator[Database]:
    """The database as the service's worker role."""
    database = Database(urls.worker, name="test worker")
    yield database
    await database.dispose()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(scope="session")
def tokens() -> TokenMaker:
    return TokenMaker()


@pytest.fixture(scope="session")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a broker that all tests share: give each test a topic prefix of its own."""
    started = Broker(Path(tmp_path_factory.mktemp("broker")))
    await started.start()
    yield started.address
    await started.kill()


@pytest.fixture
async def own_broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker that this test alone uses, and may kill."""
    started = Broker(tmp_path)
    await started.start()
    yield started
    await started.kill()
