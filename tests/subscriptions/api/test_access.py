"""Who may do what, and to whose subscription."""

from httpx import AsyncClient

from common.db import Database
from tests.subscriptions.conftest import Caller
from tests.subscriptions.factories import PLAN, subscribe
from tests.support.outbox import outbox_events

READS = 2
PROVIDERS = 2


async def calls(client: AsyncClient, headers: dict[str, str], subscription_id: str, key_id: str) -> list[int]:
    """The status of every call that touches one subscription: reads, the provider's acts, the consumer's."""
    path = f"/v1/subscriptions/{subscription_id}"
    requests = [
        ("GET", path, None),
        ("GET", f"{path}/keys", None),
        ("POST", f"{path}/approve", None),
        ("POST", f"{path}/reject", None),
        ("POST", f"{path}/pause", None),
        ("POST", f"{path}/resume", None),
        ("POST", f"{path}/keys", {"name": "stolen"}),
        ("POST", f"/v1/keys/{key_id}/rotate", None),
        ("DELETE", f"/v1/keys/{key_id}", None),
        ("POST", f"{path}/cancel", None),
    ]
    return [
        (await client.request(method, url, json=body, headers=headers)).status_code
        for method, url, body in requests
    ]


async def test_others_touch_nothing(
    client: AsyncClient, globex: Caller, acme: Caller, initech: Caller, admin: Caller, on_sale: None,
    worker_db: Database,
) -> None:  # fmt: skip
    created = await subscribe(client, globex())
    ids = created["subscription"]["id"], created["key"]["id"]
    before = len(await outbox_events(worker_db))
    assert set(await calls(client, initech(), *ids)) == {404}
    assert set(await calls(client, {}, *ids)) == {401}
    viewer = await calls(client, globex("viewer"), *ids)
    assert viewer == [200] * READS + [403] * (len(viewer) - READS)
    # A provider sees who subscribed, never the keys; approving what is active changes nothing.
    provider = await calls(client, acme(), *ids)
    assert provider == [200, 404, 200, 409] + [404] * (len(provider) - READS - PROVIDERS)
    # An operator looks, and acts in nobody's place.
    operator = await calls(client, admin(), *ids)
    assert operator == [200] + [404] * (len(operator) - 1)
    assert len(await outbox_events(worker_db)) == before


async def test_a_consumer_s_developers_may_do_all_but_approve(
    client: AsyncClient, globex: Caller, on_sale: None
) -> None:
    created = await subscribe(client, globex("developer"))
    ids = created["subscription"]["id"], created["key"]["id"]
    assert await calls(client, globex("developer"), *ids) == [
        200, 200, 404, 404, 200, 200, 201, 201, 204, 200,
    ]  # fmt: skip


async def test_lists_hold_own_rows(
    client: AsyncClient, globex: Caller, acme: Caller, initech: Caller, admin: Caller, on_sale: None
) -> None:
    await subscribe(client, globex())
    for path, seen_by in (
        ("subscriptions", "globex"),
        ("provider/subscriptions", "acme"),
        ("keys", "globex"),
    ):
        for name, headers in (
            ("globex", globex()), ("acme", acme()), ("initech", initech()), ("admin", admin()),
        ):  # fmt: skip
            items = (await client.get(f"/v1/{path}", headers=headers)).json()["items"]
            assert len(items) == (1 if name == seen_by else 0), (path, name)
        assert (await client.get(f"/v1/{path}")).status_code == 401


async def test_who_may_not_edit_does_not_subscribe(
    client: AsyncClient, globex: Caller, on_sale: None
) -> None:
    for headers, status in ((globex("viewer"), 403), (globex("billing"), 403), ({}, 401)):
        answer = await client.post("/v1/subscriptions", json={"plan_id": str(PLAN)}, headers=headers)
        assert answer.status_code == status


async def test_only_operators_publish_again(
    client: AsyncClient, globex: Caller, admin: Caller, on_sale: None
) -> None:
    await subscribe(client, globex())
    assert (await client.post("/v1/admin/republish", headers=globex())).status_code == 403
    again = await client.post("/v1/admin/republish", headers=admin())
    assert (again.status_code, again.json()) == (202, {"events": 2})
