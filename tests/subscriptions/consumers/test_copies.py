"""Events of others, out of order and twice."""

import pytest

from common.db import Database
from subscriptions.consumers.api import on_api
from subscriptions.consumers.plan import on_plan
from subscriptions.db import copies
from tests.subscriptions.factories import API, PLAN, a_plan_event, an_api, an_api_event, some_terms
from tests.support.clock import NOON


async def test_the_highest_version_wins_in_whatever_order_they_come(worker_db: Database) -> None:
    async with worker_db.begin() as session:
        for version in (2, 5, 3, 5, 1):
            await on_api(session, an_api_event(version=version, name=f"Version {version}"), now=NOON)
            terms = some_terms(fixed_fee=version)
            await on_plan(session, a_plan_event(version=version, terms=terms), now=NOON)
        assert await copies.find_api(session, API) == an_api(version=5, name="Version 5")
        plan = await copies.find_plan(session, PLAN)
    assert plan is not None
    assert plan.terms["fixed_fee"] == 5


@pytest.mark.parametrize("field", ["description", "base_url", "latest_version", "tomorrow"])
def test_fields_that_are_not_read_may_come_and_go(field: str) -> None:
    assert an_api_event(**{field: "x"}) == an_api_event()


async def test_a_plan_may_come_before_its_api(worker_db: Database) -> None:
    async with worker_db.begin() as session:
        await on_plan(session, a_plan_event(), now=NOON)
        assert await copies.find_plan(session, PLAN) is not None
        assert await copies.find_api(session, API) is None
