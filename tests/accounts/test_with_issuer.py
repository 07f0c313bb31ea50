"""The token exchange against an issuer that is a program of its own, by its URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from accounts.main import create_app
from accounts.settings import Settings
from tests.accounts.api.people import claims_of
from tests.devstack.programs import Program


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    started = Program("devstack.oidc", tmp_path / "oidc")
    await asyncio.to_thread(started.start)
    yield started
    await asyncio.to_thread(started.stop)


@pytest.fixture
async def app(settings: Settings, program: Program) -> AsyncIterator[FastAPI]:
    """Nothing is replaced: the settings name the issuer, the machine's clock ticks."""
    app = create_app(settings.model_copy(update={"oidc_issuer": program.url, "oidc_timeout_seconds": 1.0}))
    yield app
    await app.state.db.dispose()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://accounts.test") as client:
        yield client


async def sign_in(program: Program, username: str) -> dict[str, Any]:
    form = {"grant_type": "password", "client_id": "marketplace", "username": username, "password": "any"}
    async with httpx.AsyncClient() as browser:
        answer = await browser.post(f"{program.url}/token", data=form | {"scope": "openid profile email"})
    return dict(answer.raise_for_status().json())


async def exchange(client: AsyncClient, token: str) -> httpx.Response:
    return await client.post("/v1/token", json={"subject_token": token})


async def test_id_and_access_tokens_are_exchanged_and_refresh_tokens_are_not(
    client: AsyncClient, program: Program
) -> None:
    signed_in = await sign_in(program, "root@example.test")
    subjects = set()
    for kind in ("id_token", "access_token"):
        said = claims_of((await exchange(client, signed_in[kind])).raise_for_status().json()["access_token"])
        assert said["platform_role"] == "admin"
        subjects.add(said["sub"])
    assert len(subjects) == 1
    refused = await exchange(client, signed_in["refresh_token"])
    assert (refused.status_code, refused.json()["code"]) == (401, "INVALID_SUBJECT_TOKEN")


async def test_the_issuer_rotates_its_key(client: AsyncClient, program: Program) -> None:
    before = await sign_in(program, "ada")
    (await exchange(client, before["id_token"])).raise_for_status()
    async with httpx.AsyncClient() as operator:
        (await operator.post(f"{program.url}/__rotate")).raise_for_status()
    await asyncio.sleep(1.1)  # an unknown key id is looked up at most once a second
    after = await sign_in(program, "ada")
    (await exchange(client, after["id_token"])).raise_for_status()


async def test_the_issuer_is_killed_before_during_and_after(client: AsyncClient, program: Program) -> None:
    ada, bob = await sign_in(program, "ada"), await sign_in(program, "bob")
    program.kill()
    early = await exchange(client, ada["id_token"])
    assert (early.status_code, early.json()["code"]) == (503, "IDENTITY_PROVIDER_UNAVAILABLE")
    await asyncio.to_thread(program.start)
    await asyncio.sleep(1.1)
    (await exchange(client, ada["id_token"])).raise_for_status()
    program.kill()
    (await exchange(client, bob["id_token"])).raise_for_status()  # the keys are known: nobody has to ask
    await asyncio.to_thread(program.start)


async def test_a_token_of_another_issuer_is_refused(
    client: AsyncClient, program: Program, tmp_path: Path
) -> None:
    (await exchange(client, (await sign_in(program, "ada"))["id_token"])).raise_for_status()
    other = Program("devstack.oidc", tmp_path / "other")
    await asyncio.to_thread(other.start)
    try:
        token = (await sign_in(other, "ada"))["id_token"]
        assert (await exchange(client, token)).status_code == 401
    finally:
        await asyncio.to_thread(other.stop)
