"""An operator lets us take over what stands where ours belongs: after a preview, and no more than was shown."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from common.db import Scope
from kong_sync.clients.errors import KongUnavailable
from kong_sync.db import plans
from kong_sync.domain.entities import Kind
from kong_sync.domain.errors import AdoptionChanged
from kong_sync.domain.report import Outcome, PassReport
from kong_sync.usecases.adopt import adopt
from kong_sync.usecases.plan_adoption import plan_adoption
from tests.kong_sync.double import Faulty
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage


async def take_over(stage: Stage, mark: str) -> PassReport:
    return await adopt(stage.db, stage.gateway, clock=stage.clock, stop=asyncio.Event(), confirmed=mark)


async def made_by_hand(stage: Stage, admin: httpx.AsyncClient) -> dict[str, Any]:
    """A consumer by our name with a key and a group, and one of the operator's own with nothing of ours."""
    body = {"username": f"sub_{stage.subscription.id}", "custom_id": "by hand", "tags": ["hand"]}
    made: dict[str, Any] = (await admin.post("/consumers", json=body)).json()
    key = {"key": f"a secret of {stage.slug}"}
    assert (await admin.post(f"/consumers/{made['id']}/key-auth", json=key)).status_code == 201
    assert (await admin.post(f"/consumers/{made['id']}/acls", json={"group": "hand"})).status_code == 201
    return made


async def test_what_is_in_the_way_is_previewed_then_replaced(stage: Stage) -> None:
    async with httpx.AsyncClient(base_url=stage.double.admin_url, verify=False) as admin:
        theirs = await made_by_hand(stage, admin)
        neighbour = (await admin.post("/consumers", json={"username": f"operators-{stage.slug}"})).json()
        refused = await stage.set_up()
        assert refused.outcome is Outcome.PARTLY
        assert [owner.id for owner in refused.failures] == [stage.subscription.id]
        assert (await stage.call()).status_code == 401

        shown = await plan_adoption(stage.db, stage.gateway, now=stage.clock.now())
        ((obstacle,), whole) = shown.obstacles, shown.whole
        assert whole[Kind.CONSUMER] == [theirs]
        assert (len(whole[Kind.CREDENTIAL]), len(whole[Kind.ACL])) == (1, 1)
        assert "custom_id: by hand -> " in "\n".join(map(str, obstacle.differences))
        assert (await admin.get(f"/consumers/{theirs['id']}")).json() == theirs

        report = await take_over(stage, shown.mark)
        assert (report.outcome, report.failures) == (Outcome.APPLIED, {})
        assert (await admin.get(f"/consumers/{theirs['id']}")).status_code == 404
        assert (await admin.get(f"/consumers/{neighbour['id']}")).json() == neighbour
        assert (await stage.call()).status_code == 200
        assert await stage.plan() == []
        after = await plan_adoption(stage.db, stage.gateway, now=stage.clock.now())
        assert after.obstacles == ()
        async with stage.db.begin(Scope(platform_admin=True)) as session:
            (_, told, _) = await plans.list_page(session, before=None, limit=3)
        assert (told.trigger, told.change_count) == ("adoption", 3)


async def test_what_ends_half_way_is_taken_up_by_the_next_word(stage: Stage, faults: Faulty) -> None:
    async with httpx.AsyncClient(base_url=stage.double.admin_url, verify=False) as admin:
        theirs = await made_by_hand(stage, admin)
        await stage.set_up()
        shown = await plan_adoption(stage.db, stage.gateway, now=stage.clock.now())
        faults.fault = lambda _, request: (
            "after" if request.url.path == f"/consumers/{theirs['id']}" else None
        )
        with pytest.raises(KongUnavailable):
            await take_over(stage, shown.mark)
        faults.fault = lambda _, __: None
    # its last removal was in force, though nobody heard so: the place is empty, and any pass fills it
    assert (await stage.reconcile()).outcome is Outcome.APPLIED
    assert (await stage.call()).status_code == 200
    assert await stage.plan() == []


async def test_whatever_changed_since_the_preview_is_not_taken_over(stage: Stage) -> None:
    async with httpx.AsyncClient(base_url=stage.double.admin_url, verify=False) as admin:
        theirs = await made_by_hand(stage, admin)
        await tell(stage.db, stage.tables)
        shown = await plan_adoption(stage.db, stage.gateway, now=stage.clock.now())
        await admin.patch(f"/consumers/{theirs['id']}", json={"tags": ["hand", "needed"]})
        with pytest.raises(AdoptionChanged):
            await take_over(stage, shown.mark)
        assert (await admin.get(f"/consumers/{theirs['id']}")).json()["tags"] == ["hand", "needed"]


async def test_a_gateway_filled_from_a_file_without_ids_becomes_ours_again(stage: Stage) -> None:
    """decK's files name no ids unless asked to: all of ours comes back under ids that Kong made up."""
    await stage.set_up()
    ours = await stage.desired()
    async with httpx.AsyncClient(base_url=stage.double.admin_url, verify=False) as admin:
        service = next(e for e in ours if e.kind is Kind.SERVICE and e.owner.concern == "api")
        routes = [e for e in ours if e.kind is Kind.ROUTE and e.parent == service.key]
        for entity in (*routes, service):
            await stage.gateway.admin.delete(entity)
        copy = (await admin.post("/services", json=service.fields)).json()
        for route in routes:
            body = {**route.fields, "service": {"id": copy["id"]}}
            assert (await admin.post("/routes", json=body)).status_code == 201
        assert (await stage.reconcile()).outcome is Outcome.PARTLY
        shown = await plan_adoption(stage.db, stage.gateway, now=stage.clock.now())
        assert {one.ours.key for one in shown.obstacles} == {service.key, *(route.key for route in routes)}
        assert (await take_over(stage, shown.mark)).outcome is Outcome.APPLIED
    assert (await stage.call()).status_code == 200
    assert await stage.plan() == []
