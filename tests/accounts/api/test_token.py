from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy import text

from accounts.clients.issuer_keys import IssuerKeys
from accounts.clients.oidc import OidcVerifier
from common.clock import SystemClock
from common.db import Database
from common.http.tokens import TokenVerifier
from tests.accounts.api.people import People, claims_of
from tests.accounts.issuer import ISSUER, Issuer
from tests.support.clock import FixedClock
from tests.support.tokens import ISSUER as TOKEN_ISSUER


async def test_the_first_exchange_makes_the_user_and_the_second_finds_it(
    people: People, worker_db: Database
) -> None:
    first, second = await people.exchange("ada"), await people.exchange("ada")
    assert (first.status_code, second.status_code) == (200, 200)
    body = first.json()
    assert (body["token_type"], body["expires_in"], body["organisation_id"]) == ("Bearer", 900, None)
    assert first.headers["cache-control"] == "no-store"
    said = claims_of(body["access_token"])
    assert said.keys() == {"iss", "aud", "sub", "jti", "iat", "exp"}
    assert (said["iss"], said["aud"], said["exp"] - said["iat"]) == (TOKEN_ISSUER, "marketplace", 900)
    again = claims_of(second.json()["access_token"])
    assert (again["sub"], again["jti"] != said["jti"]) == (said["sub"], True)
    async with worker_db.begin() as session:
        assert await session.scalar(text("SELECT count(*) FROM platform_user")) == 1


async def test_a_member_gets_a_token_for_the_organisation_asked_for(people: People) -> None:
    acme = await people.founder("ada", "acme")
    await people.founder("ada", "beta")
    for wanted in ("acme", str(acme.organisation), None):
        answer = (await people.exchange("ada", wanted)).json()
        said = claims_of(answer["access_token"])
        assert (said["org_slug"], said["role"], said["org"]) == ("acme", "owner", answer["organisation_id"])
        assert "platform_role" not in said
    assert claims_of((await people.exchange("ada", "beta")).json()["access_token"])["org_slug"] == "beta"


@pytest.mark.parametrize("wanted", ["acme", "no-such"])
async def test_a_strange_and_a_missing_organisation_are_answered_alike(people: People, wanted: str) -> None:
    await people.founder("ada", "acme")
    answer = await people.exchange("eve", wanted)
    assert (answer.status_code, answer.json()["code"]) == (403, "NOT_A_MEMBER")


async def test_operators_are_known_by_their_verified_address(people: People) -> None:
    async def role(**claims: Any) -> object:
        answer = await people.exchange("root", **claims)
        return claims_of(answer.json()["access_token"]).get("platform_role")

    assert await role() == "admin"
    assert await role(email="SECOND@example.test") == "admin"
    assert await role(email_verified=False) is None
    assert await role(email=None) is None  # what was stored before does not count
    assert await role(email="root@example.test.evil.test") is None


async def test_an_access_token_without_an_address_takes_none_away(people: People) -> None:
    ada = await people.sign_in("ada")
    await people.exchange("ada", email=None, email_verified=None, name=None)
    me = (await people.client.get("/v1/me", headers=ada.headers)).json()
    assert (me["email"], me["email_verified"], me["name"]) == ("ada@example.test", True, "Ada")
    await people.exchange("ada", email="new@example.test", email_verified=False)
    me = (await people.client.get("/v1/me", headers=ada.headers)).json()
    assert (me["email"], me["email_verified"]) == ("new@example.test", False)


async def test_the_same_subject_of_another_issuer_is_somebody_else(people: People, app: FastAPI) -> None:
    ada = await people.sign_in("ada")
    other = "https://other.example.test"
    issuer = Issuer()

    def answer(request: httpx.Request) -> httpx.Response:
        if "well-known" in request.url.path:
            return httpx.Response(200, json={"issuer": other, "jwks_uri": f"{other}/jwks"})
        return issuer.answer(request)

    keys = IssuerKeys(issuer=other, transport=httpx.MockTransport(answer))
    app.state.oidc = OidcVerifier(keys=keys, issuer=other, audience="marketplace")
    answered = await people.client.post("/v1/token", json={"subject_token": issuer.token("ada", iss=other)})
    assert claims_of(answered.json()["access_token"])["sub"] != str(ada.id)


@pytest.mark.parametrize("token", ["nonsense", "mkp_nonsense", "mk_live_abc", "a.b.c"])
async def test_what_does_not_hold_is_refused_with_a_stable_code(client: AsyncClient, token: str) -> None:
    answer = await client.post("/v1/token", json={"subject_token": token})
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_SUBJECT_TOKEN")
    assert answer.headers["content-type"] == "application/problem+json"
    assert token not in answer.text


async def test_a_platform_token_cannot_be_exchanged_for_another(people: People) -> None:
    issued = (await people.exchange("ada")).json()["access_token"]
    answer = await people.client.post("/v1/token", json={"subject_token": issued})
    assert answer.status_code == 401


async def test_an_issuer_that_does_not_answer_is_503_and_leaves_no_transaction_open(
    people: People, app: FastAPI
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    keys = IssuerKeys(issuer=ISSUER, transport=httpx.MockTransport(fail))
    app.state.oidc = OidcVerifier(keys=keys, issuer=ISSUER, audience="marketplace")
    answer = await people.exchange("ada")
    assert (answer.status_code, answer.json()["code"]) == (503, "IDENTITY_PROVIDER_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    database: Database = app.state.db
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_what_we_sign_holds_at_every_other_service(people: People, app: FastAPI) -> None:
    await people.founder("ada", "acme")
    app.state.clock = SystemClock()
    token = (await people.exchange("ada", "acme", now=SystemClock().now())).json()["access_token"]
    verifier = TokenVerifier(
        jwks_url="http://accounts.test/.well-known/jwks.json",
        issuer=TOKEN_ISSUER,
        transport=httpx.ASGITransport(app),
    )
    claims = await verifier.verify(token)
    assert (claims.organisation_slug, claims.role, claims.platform_admin) == ("acme", "owner", False)


async def test_the_key_set_is_public_and_may_be_cached(client: AsyncClient) -> None:
    answer = await client.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert all("d" not in key for key in answer.json()["keys"])


async def test_a_suspended_organisation_gets_no_token(people: People) -> None:
    acme = await people.founder("ada", "acme")
    root = await people.founder("root", "operators")
    path = f"/v1/admin/organisations/{acme.organisation}"
    assert (await people.client.post(f"{path}/suspend", headers=root.headers)).json()["status"] == "suspended"
    refused = await people.exchange("ada", "acme")
    assert (refused.status_code, refused.json()["code"]) == (403, "ORGANISATION_SUSPENDED")
    assert (await people.exchange("ada")).json()["organisation_id"] is None
    assert (await people.client.post(f"{path}/restore", headers=root.headers)).json()["status"] == "active"
    assert (await people.exchange("ada", "acme")).status_code == 200


async def test_two_first_exchanges_at_once_make_one_user(
    people: People, worker_db: Database, clock: FixedClock
) -> None:
    import asyncio

    answers = await asyncio.gather(*(people.exchange("ada") for _ in range(8)))
    assert {claims_of(a.json()["access_token"])["sub"] for a in answers}.__len__() == 1
