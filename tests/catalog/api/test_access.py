"""Who may do what, and to whose rows."""

from httpx import AsyncClient

from common.db import Database
from tests.catalog.conftest import Caller
from tests.catalog.factories import a_document_text, a_plan_body, an_api_body, publish, register
from tests.support.outbox import outbox_events


async def calls(client: AsyncClient, headers: dict[str, str], api_id: str, plan_id: str) -> dict[str, int]:
    """The status of every call that touches one API, in the order that harms least."""
    path = f"/v1/apis/{api_id}"
    requests = [
        ("GET", path, None),
        ("GET", f"{path}/versions", None),
        ("GET", f"{path}/versions/v1/openapi", None),
        ("GET", f"{path}/versions/v1/endpoints", None),
        ("GET", f"{path}/plans", None),
        ("GET", "/v1/providers/acme/apis/rates", None),
        ("PATCH", path, {"name": "Stolen"}),
        ("POST", f"{path}/versions", {"name": "v7"}),
        ("POST", f"{path}/plans", a_plan_body(name="Stolen")),
        ("PUT", f"{path}/plans/{plan_id}", a_plan_body(fixed_fee=1)),
        ("PUT", f"{path}/versions/v8/openapi", a_document_text()),
        ("POST", f"{path}/publish", None),
        ("POST", f"{path}/unpublish", None),
        ("DELETE", path, None),
    ]
    statuses = {}
    for method, url, body in requests:
        how = {"content": body} if isinstance(body, bytes) else {"json": body}
        answer = await client.request(method, url, headers=headers, **how)
        statuses[f"{method} {url.replace(path, '').replace(plan_id, '*')}"] = answer.status_code
    return statuses


async def prepared(client: AsyncClient, headers: dict[str, str], *, public: bool) -> tuple[str, str]:
    if public:
        api_id = await publish(client, headers)
    else:
        api_id = await register(client, headers)
        await client.put(f"/v1/apis/{api_id}/versions/v1/openapi", content=a_document_text(), headers=headers)
    plan = await client.post(f"/v1/apis/{api_id}/plans", json=a_plan_body(), headers=headers)
    return api_id, str(plan.json()["id"])


READS = 6


async def test_a_draft_is_not_there_for_others(
    client: AsyncClient, acme: Caller, globex: Caller, worker_db: Database
) -> None:
    api_id, plan_id = await prepared(client, acme(), public=False)
    before = len(await outbox_events(worker_db))
    assert set((await calls(client, globex(), api_id, plan_id)).values()) == {404}
    strangers = list((await calls(client, {}, api_id, plan_id)).values())
    assert strangers == [404] * READS + [401] * (len(strangers) - READS)
    assert len(await outbox_events(worker_db)) == before


async def test_a_published_api_is_read_by_all_and_changed_by_its_provider_only(
    client: AsyncClient, acme: Caller, globex: Caller, admin: Caller, worker_db: Database
) -> None:
    api_id, plan_id = await prepared(client, acme(), public=True)
    before = len(await outbox_events(worker_db))
    for headers, refusal in ((globex(), 404), ({}, 401), (acme("viewer"), 403), (acme("billing"), 403)):
        statuses = list((await calls(client, headers, api_id, plan_id)).values())
        assert statuses == [200] * READS + [refusal] * (len(statuses) - READS)
    # An operator acts through the admin endpoints, which leave a note; not in a provider's place.
    statuses = list((await calls(client, admin(), api_id, plan_id)).values())
    assert statuses == [200] * READS + [404] * (len(statuses) - READS)
    assert len(await outbox_events(worker_db)) == before


async def test_a_provider_s_developers_may_do_all_of_it(client: AsyncClient, acme: Caller) -> None:
    api_id, plan_id = await prepared(client, acme(), public=False)
    statuses = await calls(client, acme("developer"), api_id, plan_id)
    assert list(statuses.values())[:-1] == [200] * 7 + [201, 201] + [200] * 4
    assert statuses["DELETE "] == 409  # it has been public


async def test_only_operators_judge(client: AsyncClient, acme: Caller, globex: Caller, admin: Caller) -> None:
    api_id, _ = await prepared(client, acme(), public=True)
    requests = [("GET", "/v1/admin/apis"), ("POST", "/v1/admin/republish")]
    requests += [
        ("POST", f"/v1/admin/apis/{api_id}/{action}") for action in ("suspend", "reinstate", "approve")
    ]
    for method, path in requests:
        for headers, status in (({}, 401), (acme(), 403), (globex(), 403)):
            assert (await client.request(method, path, headers=headers)).status_code == status
        assert (await client.request(method, path, headers=admin())).status_code in {200, 202}


async def test_own_lists_hold_own_rows(client: AsyncClient, acme: Caller, globex: Caller) -> None:
    await publish(client, acme())
    assert (await client.get("/v1/provider/apis", headers=globex())).json()["items"] == []
    assert (await client.get("/v1/provider/apis")).status_code == 401


async def test_a_viewer_reads_own_drafts_and_makes_none(client: AsyncClient, acme: Caller) -> None:
    api_id = await register(client, acme())
    assert (await client.get(f"/v1/apis/{api_id}", headers=acme("viewer"))).status_code == 200
    for role in ("viewer", "billing"):
        answer = await client.post("/v1/apis", json=an_api_body(slug="x1"), headers=acme(role))
        assert answer.status_code == 403
