"""What somebody did to the gateway behind our back is found, told, and mended; what is theirs is told and left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from common.ids import new_id
from kong_sync.domain.drift import Drift, DriftKind
from kong_sync.domain.report import Outcome
from kong_sync.usecases.find_drift import find_drift
from tests.kong_sync.factories import some_tables
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage


async def drift(stage: Stage) -> list[Drift]:
    return await find_drift(stage.db, stage.gateway)


@pytest.fixture
async def admin(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """Kong's Admin API as an operator uses it."""
    async with httpx.AsyncClient(base_url=stage.double.admin_url) as client:
        yield client


async def test_a_hand_edit_and_a_hand_delete_are_drift_until_a_pass_mends_them(
    stage: Stage, admin: httpx.AsyncClient
) -> None:
    await stage.set_up()
    assert await drift(stage) == []
    service = stage.gateway.edge.id_of(f"service.{stage.version.id}")
    acl = stage.gateway.edge.id_of(f"consumer.{stage.subscription.id}.acl")
    consumer = stage.gateway.edge.id_of(f"consumer.{stage.subscription.id}")
    assert (await admin.patch(f"/services/{service}", json={"read_timeout": 1})).status_code == 200
    assert (await admin.delete(f"/consumers/{consumer}/acls/{acl}")).status_code == 204
    found = {one.entity.id: one for one in await drift(stage)}
    assert {id_: one.kind for id_, one in found.items()} == {
        service: DriftKind.EDITED,
        acl: DriftKind.MISSING,
    }
    assert [str(field) for field in found[service].differences] == ["read_timeout: 1 -> 60000"]
    assert (await stage.reconcile()).outcome is Outcome.APPLIED
    assert await drift(stage) == []


async def test_a_change_of_ours_that_waits_is_no_drift(stage: Stage) -> None:
    await tell(stage.db, stage.tables)
    assert await drift(stage) == []
    await stage.reconcile()
    faster = replace(stage.api, base_url="http://127.0.0.1:9/elsewhere", version=stage.api.version + 1)
    await tell(stage.db, some_tables(apis=[faster], versions=[], subscriptions=[], keys=[]))
    assert await drift(stage) == []
    assert await stage.plan() != []


async def test_an_operators_plugin_on_our_service_is_reported_and_left_alone(
    stage: Stage, admin: httpx.AsyncClient
) -> None:
    await stage.set_up()
    service = stage.gateway.edge.id_of(f"service.{stage.version.id}")
    body = {"name": "correlation-id", "config": {"header_name": "X-Theirs"}, "service": {"id": service}}
    made = (await admin.post("/plugins", json=body)).json()
    for _ in range(2):
        (found,) = await drift(stage)
        assert (found.kind, found.entity.id, found.ours) == (DriftKind.FOREIGN, made["id"], False)
        assert found.entity.owner.id == stage.api.id
        assert (await stage.reconcile()).outcome is Outcome.EQUAL
    assert (await admin.get(f"/plugins/{made['id']}")).json() == made


async def test_a_copy_of_our_tags_is_reported_and_left_alone(stage: Stage, admin: httpx.AsyncClient) -> None:
    await stage.set_up()
    body = {"username": f"copy-{new_id()}", "tags": [*stage.gateway.edge.selector, "part:consumer.nobody"]}
    made = (await admin.post("/consumers", json=body)).json()
    (found,) = await drift(stage)
    assert (found.kind, found.entity.id) == (DriftKind.COPY, made["id"])
    assert (await stage.reconcile()).outcome is Outcome.EQUAL
    assert (await admin.get(f"/consumers/{made['id']}")).json() == made


async def test_a_switched_off_gateway_does_not_drift(stage: Stage) -> None:
    await stage.set_up()
    assert await find_drift(stage.db, replace(stage.gateway, enabled=False)) == []
