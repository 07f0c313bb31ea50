"""People who use the API of accounts the way a client does."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from httpx import AsyncClient, Response

from tests.accounts.issuer import Issuer
from tests.support.tokens import TokenMaker


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified."""
    body = token.split(".")[1]
    return cast("dict[str, Any]", json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


@dataclass(frozen=True)
class Person:
    """Somebody who has signed in; `headers` says what their present token says."""

    id: UUID
    headers: dict[str, str]
    organisation: UUID | None = None


class People:
    """Signs people in and gives them the tokens that accounts would sign, by a key that the tests' app trusts."""

    def __init__(self, client: AsyncClient, issuer: Issuer, tokens: TokenMaker) -> None:
        self.client, self.issuer, self.tokens = client, issuer, tokens

    async def exchange(
        self, username: str = "ada", organisation: str | None = None, **claims: Any
    ) -> Response:
        body = {"subject_token": self.issuer.token(username, **claims), "organisation": organisation}
        return await self.client.post("/v1/token", json=body)

    async def sign_in(self, username: str = "ada", organisation: str | None = None) -> Person:
        answer = await self.exchange(username, organisation)
        assert answer.status_code == 200, answer.text
        said = claims_of(answer.json()["access_token"])
        own = UUID(said["org"]) if "org" in said else None
        headers = self.tokens.headers(
            user_id=UUID(said["sub"]),
            organisation_id=own,
            slug=said.get("org_slug", ""),
            role=said.get("role", ""),
            platform_admin=said.get("platform_role") == "admin",
        )
        return Person(UUID(said["sub"]), headers, own)

    async def founder(self, username: str = "ada", slug: str = "acme") -> Person:
        """The owner of a new organisation, acting for it."""
        person = await self.sign_in(username)
        body = {"slug": slug, "name": slug.capitalize()}
        answer = await self.client.post("/v1/organisations", json=body, headers=person.headers)
        assert answer.status_code == 201, answer.text
        return await self.sign_in(username, slug)

    async def join(self, owner: Person, username: str, role: str, slug: str = "acme") -> Person:
        """A new member of the owner's organisation, acting for it."""
        await self.sign_in(username)
        answer = await self.client.post(
            f"/v1/organisations/{owner.organisation}/members",
            json={"email": f"{username}@example.test", "role": role},
            headers=owner.headers,
        )
        assert answer.status_code == 201, answer.text
        return await self.sign_in(username, slug)
