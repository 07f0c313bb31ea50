"""An operator blocks an address: no API of ours answers there any more, and nothing else changes."""

from __future__ import annotations

import pytest
from httpx import AsyncClient

from common.ids import new_id
from kong_sync.domain.entities import Kind
from tests.kong_sync.stage import Stage
from tests.support.tokens import TokenMaker

PATH = "/v1/gateway/blocked-addresses"


@pytest.fixture
def admin(tokens: TokenMaker) -> dict[str, str]:
    return tokens.headers(organisation_id=new_id(), platform_admin=True)


async def test_who_calls_from_there_is_refused_until_it_is_unblocked(
    client: AsyncClient, stage: Stage, admin: dict[str, str]
) -> None:
    await stage.set_up()
    before = {entity.key for entity in await stage.desired()}
    made = await client.post(PATH, json={"address": "127.0.0.1/32", "reason": "It scans us."}, headers=admin)
    assert (made.status_code, made.json()["address"]) == (201, "127.0.0.1")
    await stage.serve()
    refused = await stage.call()
    assert (refused.status_code, refused.json()["code"]) == (403, "IP_BLOCKED")
    assert stage.upstream.heads == []
    (more,) = [entity for entity in await stage.desired() if entity.key not in before]
    assert (more.kind, more.fields["name"], more.parent) == (
        Kind.PLUGIN, "ip-restriction", (Kind.SERVICE, stage.gateway.edge.id_of(f"service.{stage.version.id}")),
    )  # fmt: skip
    assert (await client.delete(PATH, params={"address": "127.0.0.1"}, headers=admin)).status_code == 204
    await stage.serve()
    assert (await stage.call()).status_code == 200
    assert {entity.key for entity in await stage.desired()} == before
    assert await stage.plan() == []


async def test_they_are_listed_in_pages(client: AsyncClient, admin: dict[str, str]) -> None:
    for address in ("192.0.2.7", "2001:db8::/32", "198.51.100.0/24"):
        assert (await client.post(PATH, json={"address": address}, headers=admin)).status_code == 201
    first = (await client.get(PATH, params={"limit": 2}, headers=admin)).json()
    assert [one["address"] for one in first["items"]] == ["192.0.2.7", "198.51.100.0/24"]
    rest = (await client.get(PATH, params={"cursor": first["next_cursor"]}, headers=admin)).json()
    assert ([one["address"] for one in rest["items"]], rest["next_cursor"]) == (["2001:db8::/32"], None)
    again = await client.post(PATH, json={"address": "192.0.2.7/32"}, headers=admin)
    assert (again.status_code, again.json()["code"]) == (409, "ADDRESS_BLOCKED")
    unknown = await client.delete(PATH, params={"address": "192.0.2.8"}, headers=admin)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "ADDRESS_NOT_FOUND")


@pytest.mark.parametrize("address", ["somewhere", "0.0.0.0/0", "::/0", "192.0.2.1/24", "10.0.0.0/7"])
async def test_what_is_no_network_or_too_wide_is_refused(
    client: AsyncClient, admin: dict[str, str], address: str
) -> None:
    answer = await client.post(PATH, json={"address": address}, headers=admin)
    assert answer.status_code == 422, answer.text
    assert (await client.get(PATH, headers=admin)).json()["items"] == []


async def test_who_blocked_and_who_let_in_again_is_on_record(client: AsyncClient, tokens: TokenMaker) -> None:
    admins = [new_id(), new_id()]
    first, second = (
        tokens.headers(organisation_id=new_id(), platform_admin=True, user_id=user) for user in admins
    )
    await client.post(PATH, json={"address": "192.0.2.7", "reason": "It scans us."}, headers=first)
    await client.post(PATH, json={"address": "192.0.2.7"}, headers=second)  # refused, and not on record
    await client.delete(PATH, params={"address": "192.0.2.7/32"}, headers=second)
    page = (await client.get(f"{PATH}/audit", params={"limit": 1}, headers=first)).json()
    rest = (await client.get(f"{PATH}/audit", params={"cursor": page["next_cursor"]}, headers=first)).json()
    entries = [*page["items"], *rest["items"]]
    assert [(one["action"], one["address"], one["reason"]) for one in entries] == [
        ("unblock", "192.0.2.7", None), ("block", "192.0.2.7", "It scans us."),
    ]  # fmt: skip
    assert [one["actor_user_id"] for one in entries] == [str(user) for user in reversed(admins)]
