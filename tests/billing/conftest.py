from __future__ import annotations

import pytest

from common.db import Database
from tests.billing.scenario import Scenario
from tests.support.clock import FixedClock


@pytest.fixture
def service() -> str:
    return "billing"


@pytest.fixture
def scenario(worker_db: Database, clock: FixedClock) -> Scenario:
    return Scenario(worker_db, clock)
