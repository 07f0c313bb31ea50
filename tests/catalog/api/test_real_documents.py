"""Documents of public APIs as their providers wrote them, taken in and given back by the service."""

import json
import os
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from catalog.api.rules import Rules
from catalog.domain.openapi.limits import Limits
from tests.catalog.conftest import Caller
from tests.catalog.factories import register

FOLDER = os.environ.get("MARKETPLACE_OPENAPI_DOCUMENTS")  # noqa: TID251 - recorded data, by name of its folder
# Of the folder's documents, the largest and then every so many: all of them are read in the domain's test.
LARGEST, STEP = 5, 10


@pytest.mark.skipif(not FOLDER, reason="MARKETPLACE_OPENAPI_DOCUMENTS names no folder")
async def test_real_documents_are_stored_whole(client: AsyncClient, app: FastAPI, acme: Caller) -> None:
    app.state.rules = Rules(moderated=False, allow_loopback=False, document_limits=Limits())
    files = sorted(Path(str(FOLDER)).glob("*.json"), key=lambda path: -path.stat().st_size)
    slowest = 0.0
    for number, file in enumerate(files[:LARGEST] + files[LARGEST::STEP]):
        api_id = await register(client, acme(), slug=f"real-{number}")
        path = f"/v1/apis/{api_id}/versions/v1/openapi"
        started = time.perf_counter()
        answer = await client.put(path, content=file.read_bytes(), headers=acme())
        slowest = max(slowest, time.perf_counter() - started)
        if answer.status_code == 422:
            assert answer.json()["detail"], file.name
            continue
        assert answer.status_code == 200, (file.name, answer.text)
        assert (await client.get(path, headers=acme())).json() == json.loads(file.read_bytes())
        endpoints = await client.get(f"/v1/apis/{api_id}/versions/v1/endpoints", headers=acme())
        assert len(endpoints.json()["items"]) == min(100, answer.json()["operations"])
    assert slowest < 10
