"""An empty or half-filled table must not take the gateway down."""

from __future__ import annotations

from kong_sync.domain.diff import Action, diff
from kong_sync.domain.guard import DeleteBudget, Plan, guard_deletes
from kong_sync.domain.records import Tables
from tests.kong_sync.factories import (
    a_key,
    a_subscription,
    an_api,
    an_id,
    as_kong_returns,
    some_tables,
    wanted,
)

BUDGET = DeleteBudget(count=20, share=0.05)
NONE = DeleteBudget()


def planned(
    tables: Tables, *, before: Tables | None = None, confirmed: bool = False, budget: DeleteBudget = NONE
) -> Plan:
    present = [as_kong_returns(e) for e in wanted(before or some_tables())]
    changes = diff(wanted(tables), present)
    return guard_deletes(changes, tables, present=len(present), budget=budget, confirmed=confirmed)


def deleted(plan: Plan) -> set[str]:
    return {c.entity.owner.concern for c in plan.changes if c.action is Action.DELETE}


def test_empty_tables_delete_nothing_of_a_customer() -> None:
    plan = planned(Tables())
    assert deleted(plan) <= {"provider"}
    assert {c.entity.owner.concern for c in plan.withheld} == {"api", "subscription"}


def test_an_operators_word_lets_them_go() -> None:
    plan = planned(Tables(), confirmed=True)
    assert plan.withheld == ()
    assert {"api", "subscription"} <= deleted(plan)


def test_an_api_known_before_its_version_keeps_what_it_has() -> None:
    plan = planned(some_tables(versions=[]))
    assert "api" not in deleted(plan)


def test_a_version_known_before_its_api_keeps_what_it_has() -> None:
    plan = planned(some_tables(apis=[]))
    assert "api" not in deleted(plan)


def test_a_subscription_known_before_its_keys_keeps_them() -> None:
    plan = planned(some_tables(keys=[]))
    assert "subscription" not in deleted(plan)


def test_a_retired_api_goes_however_large() -> None:
    plan = planned(some_tables(apis=[an_api(status="retired")]))
    assert plan.withheld == ()
    assert "api" in deleted(plan)


def test_stops_of_everybody_at_once_pass() -> None:
    many = [a_subscription(id=an_id(str(n))) for n in range(100)]
    stopped = [a_subscription(id=s.id, status="past_due") for s in many]
    plan = planned(some_tables(subscriptions=stopped), before=some_tables(subscriptions=many))
    assert plan.withheld == ()
    assert len([c for c in plan.changes if c.action is Action.DELETE]) == 100


def test_a_revoked_key_is_moved_whatever_the_budget() -> None:
    plan = planned(some_tables(keys=[a_key(status="revoked")]))
    assert plan.withheld == ()
    assert "subscription" in deleted(plan)


def test_few_leftovers_among_many_entities_pass_where_the_operator_allows_it() -> None:
    many = [a_subscription(id=an_id(str(n))) for n in range(100)]
    fewer, before = some_tables(subscriptions=many[:98]), some_tables(subscriptions=many)
    assert deleted(planned(fewer, before=before, budget=BUDGET)) == {"subscription"}
    assert len(planned(fewer, before=before).withheld) == 6


def test_the_smaller_bound_holds() -> None:
    assert BUDGET.allowed(100) == 5
    assert BUDGET.allowed(10_000) == 20
