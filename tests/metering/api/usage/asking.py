"""Questions to the usage API, and who else is there."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from httpx import AsyncClient

from tests.support.tokens import TokenMaker

OTHER_SUBSCRIPTION = "01930000-0000-7000-8000-0000000000f3"
OTHER_PROVIDER = "01930000-0000-7000-8000-0000000000f1"
OTHER_API = "01930000-0000-7000-8000-0000000000f2"


def as_member(tokens: TokenMaker, organisation: str, **more: Any) -> dict[str, str]:
    return tokens.headers(organisation_id=UUID(organisation), **more)


async def get(client: AsyncClient, what: str, headers: dict[str, str], **params: Any) -> Any:
    path, _, query = what.partition("?")
    answer = await client.get(f"/v1/usage/{path}", headers=headers, params=params | dict(parse_qsl(query)))
    assert answer.status_code == 200, answer.text
    return answer.json()
