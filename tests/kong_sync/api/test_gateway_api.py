"""How the gateway stands, what would change, and the word to change it: over HTTP."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
import yaml
from httpx import AsyncClient

from common.ids import new_id
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage
from tests.support.outbox import outbox_events
from tests.support.tokens import TokenMaker


@pytest.fixture
def admin(tokens: TokenMaker) -> dict[str, str]:
    return tokens.headers(organisation_id=new_id(), platform_admin=True)


@pytest.fixture
def member(tokens: TokenMaker) -> dict[str, str]:
    return tokens.headers(organisation_id=new_id(), role="viewer")


async def test_a_dry_run_writes_nothing_and_an_applied_one_everything(
    client: AsyncClient, stage: Stage, admin: dict[str, str]
) -> None:
    await tell(stage.db, stage.tables)
    dry = (await client.post("/v1/gateway/reconcile", json={}, headers=admin)).json()
    assert (dry["dry_run"], dry["equal"]) == (True, False)
    assert (await stage.call()).status_code == 404
    done = (await client.post("/v1/gateway/reconcile", json={"dry_run": False}, headers=admin)).json()
    assert (done["outcome"], done["canary_seen"], done["failures"]) == ("applied", True, {})
    assert [c["id"] for c in done["changes"]] == [c["id"] for c in dry["changes"]]
    assert (await stage.call()).status_code == 200
    diff = (await client.get("/v1/gateway/diff", headers=admin)).json()
    assert diff == {"equal": True, "changes": [], "withheld": []}


async def test_a_diff_holds_no_digest(client: AsyncClient, stage: Stage, admin: dict[str, str]) -> None:
    await tell(stage.db, stage.tables)
    answer = await client.get("/v1/gateway/diff", headers=admin)
    assert stage.credential.sha256 not in answer.text
    change = next(c for c in answer.json()["changes"] if c["id"] == stage.credential.id)
    assert change == {
        "action": "create", "kind": "key-auths", "id": stage.credential.id, "name": stage.credential.id,
        "concern": "subscription", "owner_id": stage.subscription.id, "fields": [],
        "differences": [],
    }  # fmt: skip


async def test_a_hand_edit_is_shown_as_drift_and_as_what_a_pass_would_change(
    client: AsyncClient, stage: Stage, admin: dict[str, str]
) -> None:
    await stage.set_up()
    nothing = (await client.get("/v1/gateway/drift", headers=admin)).json()
    assert nothing == {"drifted": False, "total": 0, "by_kind": {}, "items": []}
    digest = "f" * 64
    credential = next(e for e in await stage.desired() if e.id == stage.credential.id)
    await stage.gateway.admin.put(replace(credential, fields={**credential.fields, "key": digest}))
    answer = await client.get("/v1/gateway/drift", headers=admin)
    shown = [{"path": "key", "wanted": f"{stage.credential.sha256[:6]}…", "found": "ffffff…"}]
    assert answer.json() == {
        "drifted": True, "total": 1, "by_kind": {"edited": 1},
        "items": [
            {
                "drift": "edited", "ours": True, "kind": "key-auths", "id": credential.id, "name": credential.id,
                "concern": "subscription", "owner_id": stage.subscription.id, "differences": shown,
            }
        ],
    }  # fmt: skip
    diff = await client.get("/v1/gateway/diff", headers=admin)
    (change,) = diff.json()["changes"]
    assert (change["action"], change["fields"], change["differences"]) == ("update", ["key"], shown)
    for text in (answer.text, diff.text):
        assert stage.credential.sha256 not in text
        assert digest not in text


async def test_the_history_tells_what_a_pass_changed(
    client: AsyncClient, stage: Stage, admin: dict[str, str]
) -> None:
    await stage.set_up()
    await stage.reconcile()  # finds nothing to do: no history
    service = next(e for e in await stage.desired() if e.kind == "services" and e.owner.concern == "api")
    await stage.gateway.admin.put(replace(service, fields={**service.fields, "read_timeout": 1}))
    await client.post("/v1/gateway/reconcile", json={"dry_run": False}, headers=admin)
    first = (await client.get("/v1/gateway/plans?limit=1", headers=admin)).json()
    address = f"/v1/gateway/plans?limit=1&cursor={first['next_cursor']}"
    second = (await client.get(address, headers=admin)).json()
    assert second["next_cursor"] is None
    (mended,), (made,) = first["items"], second["items"]
    assert (mended["outcome"], mended["trigger"], mended["change_count"]) == ("applied", "sweep", 1)
    assert made["change_count"] > 10
    whole = (await client.get(f"/v1/gateway/plans/{mended['id']}", headers=admin)).json()
    (change,) = whole["changes"]
    assert (change["id"], change["fields"]) == (service.id, ["read_timeout"])
    assert change["differences"] == [{"path": "read_timeout", "wanted": 60_000, "found": 1}]
    unknown = await client.get(f"/v1/gateway/plans/{new_id()}", headers=admin)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "PLAN_NOT_FOUND")
    forged = await client.get("/v1/gateway/plans?cursor=x", headers=admin)
    assert forged.status_code == 422


async def test_the_desired_state_can_be_had_as_a_deck_file(
    client: AsyncClient, stage: Stage, admin: dict[str, str]
) -> None:
    await stage.set_up()
    answer = await client.get("/v1/gateway/deck.yaml", headers=admin)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/yaml")
    document = yaml.safe_load(answer.text)
    assert document["_info"] == {"select_tags": list(stage.gateway.edge.selector)}
    assert {s["name"].split(".")[0] for s in document["services"]} >= {stage.slug}


async def test_a_long_list_of_drift_is_counted_whole_and_cut(
    client: AsyncClient, stage: Stage, admin: dict[str, str]
) -> None:
    await stage.set_up()
    ours = [e for e in await stage.desired() if e.owner.concern == "subscription" and e.kind != "consumers"]
    for entity in ours:
        await stage.gateway.admin.delete(entity)
    found = (await client.get("/v1/gateway/drift?limit=1", headers=admin)).json()
    assert (found["total"], found["by_kind"], len(found["items"])) == (len(ours), {"missing": len(ours)}, 1)


async def test_the_status_tells_node_progress_and_last_pass(
    client: AsyncClient, stage: Stage, admin: dict[str, str]
) -> None:
    before = (await client.get("/v1/gateway/status", headers=admin)).json()
    assert (before["enabled"], before["last_pass"], before["progress"]) == (True, None, {})
    await stage.set_up()
    status = (await client.get("/v1/gateway/status", headers=admin)).json()
    assert status["node"]["reachable"] is True
    assert status["node"]["version"].startswith("3.9")
    assert status["progress"] == {"api": {"live": 1}, "subscription": {"live": 1}}
    assert (status["last_pass"]["outcome"], status["last_pass"]["withheld"]) == ("applied", 0)


async def test_a_member_sees_how_far_a_live_api_is(
    client: AsyncClient, stage: Stage, member: dict[str, str]
) -> None:
    await stage.set_up()
    answer = await client.get(f"/v1/gateway/apis/{stage.api.id}", headers=member)
    assert answer.json() == {
        "api_id": stage.api.id, "state": "live", "reason": None,
        "proxy_url": f"{stage.double.proxy_url}/{stage.slug}/pay/v1",
    }  # fmt: skip
    unknown = await client.get(f"/v1/gateway/apis/{new_id()}", headers=member)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "API_NOT_FOUND")


async def test_an_api_that_is_not_live_is_its_providers_business(
    client: AsyncClient, stage: Stage, member: dict[str, str], tokens: TokenMaker
) -> None:
    stage.version = replace(stage.version, state="unheard-of")
    await stage.set_up()
    address = f"/v1/gateway/apis/{stage.api.id}"
    assert (await client.get(address, headers=member)).status_code == 404
    provider = tokens.headers(organisation_id=UUID(stage.api.provider_id))
    assert (await client.get(address, headers=provider)).json()["state"] == "pending"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/gateway/status"),
        ("GET", "/v1/gateway/diff"),
        ("GET", "/v1/gateway/drift"),
        ("GET", "/v1/gateway/plans"),
        ("GET", f"/v1/gateway/plans/{UUID(int=1)}"),
        ("GET", "/v1/gateway/deck.yaml"),
        ("POST", "/v1/gateway/reconcile"),
        ("POST", "/v1/admin/republish"),
    ],
)
async def test_only_an_operator_may(
    client: AsyncClient, member: dict[str, str], method: str, path: str
) -> None:
    assert (await client.request(method, path, json={}, headers=member)).status_code == 403
    assert (await client.request(method, path, json={})).status_code == 401


async def test_republishing_repeats_the_same_words(
    client: AsyncClient, stage: Stage, admin: dict[str, str]
) -> None:
    await stage.set_up()
    told = await outbox_events(stage.db)
    answer = await client.post("/v1/admin/republish", headers=admin)
    assert (answer.status_code, answer.json()) == (202, {"events": 2})
    again = (await outbox_events(stage.db))[len(told) :]
    assert sorted(map(str, again)) == sorted(map(str, told[-2:]))
