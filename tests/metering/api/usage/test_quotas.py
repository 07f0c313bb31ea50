from __future__ import annotations

import pytest
from httpx import AsyncClient

from common.pagination import encode_cursor
from tests.metering.api.usage.asking import as_member, get
from tests.metering.factories import (
    CONSUMER_ORG,
    PROVIDER_ORG,
)
from tests.support.tokens import TokenMaker


async def test_a_forged_cursor_of_quotas_is_the_caller_s_mistake(
    client: AsyncClient, tokens: TokenMaker
) -> None:
    for cursor in ("nonsense", encode_cursor("x"), encode_cursor(None), encode_cursor(7), encode_cursor()):
        answer = await client.get(
            "/v1/usage/quota", headers=as_member(tokens, CONSUMER_ORG), params={"cursor": cursor}
        )
        assert answer.status_code == 422, cursor


@pytest.mark.usefixtures("recorded")
async def test_the_quota_of_a_running_subscription(client: AsyncClient, tokens: TokenMaker) -> None:
    for organisation in (CONSUMER_ORG, PROVIDER_ORG):
        [quota] = (await get(client, "quota", as_member(tokens, organisation)))["items"]
        assert (quota["limit"], quota["used"], quota["remaining"], quota["state"]) == (10, 7, 3, "ok")
        assert (quota["period"], quota["resets_at"]) == ("2026-11", "2026-12-01T00:00:00Z")
