from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from fastapi import FastAPI
from httpx import AsyncClient

from common.db import Database
from devstack.embedded.ports import free_port
from metering.api import streams
from metering.main import create_app
from metering.settings import Settings
from tests.metering.factories import CONSUMER_ORG, OTHER_ORG, PROVIDER_ORG, SUBSCRIPTION, an_entry, request_id
from tests.metering.recording import Recorder, minutes_ago
from tests.support.clock import FixedClock
from tests.support.tokens import TokenMaker

STREAMS = ["export", "live"]
SUBSCRIPTION_2 = "01930000-0000-7000-8000-0000000000f3"
OTHERS = "01930000-0000-7000-8000-0000000000f4"


@pytest.fixture
async def app(make_settings: Callable[..., Settings], clock: FixedClock, tokens: TokenMaker) -> FastAPI:
    """Without Kafka: reading usage needs none."""
    application = create_app(make_settings(KAFKA_TOPIC_PREFIX="", streams=1), clock=clock)
    application.state.verifier = tokens.verifier
    return application


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    recorder = await Recorder(worker_db).begin()
    await recorder.record(
        *(an_entry(n, at=minutes_ago(n)) for n in range(1, 6)), an_entry(6, subscription=SUBSCRIPTION_2, status=404),
        an_entry(7, consumer=False, status=401, source="gateway"),
        an_entry(8, subscription=OTHERS, org=OTHER_ORG),
    )  # fmt: skip
    return recorder


def as_member(tokens: TokenMaker, organisation: str) -> dict[str, str]:
    return tokens.headers(organisation_id=UUID(organisation))


@pytest.mark.usefixtures("recorder")
async def test_an_export_has_every_call_once_however_many_pages_it_takes(
    client: AsyncClient, tokens: TokenMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_PAGE_ROWS", 2)
    wanted = {CONSUMER_ORG: [1, 2, 3, 4, 5, 6], PROVIDER_ORG: [1, 2, 3, 4, 5, 6, 8, 7], OTHER_ORG: [8]}
    for organisation, numbers in wanted.items():
        answer = await client.get("/v1/usage/export", headers=as_member(tokens, organisation))
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(answer.text.splitlines()))
        assert [row["request_id"] for row in rows] == [request_id(n) for n in numbers]
    page = (await client.get("/v1/usage/requests", headers=as_member(tokens, OTHER_ORG))).json()["items"]
    assert rows[0].keys() == page[0].keys()
    assert (rows[0]["status"], rows[0]["subscription_id"]) == ("200", page[0]["subscription_id"])


@pytest.mark.usefixtures("recorder")
async def test_an_export_is_narrowed_down_as_a_list_is_and_strangers_get_nothing(
    client: AsyncClient, tokens: TokenMaker
) -> None:
    consumer = as_member(tokens, CONSUMER_ORG)
    for params, numbers in (
        ({"status": "4xx"}, [6]), ({"subscription_id": SUBSCRIPTION}, [1, 2, 3, 4, 5]), ({"side": "provider"}, []),
        ({"from": minutes_ago(3).isoformat(), "to": minutes_ago(1).isoformat()}, [2, 3]), ({"mode": "test"}, []),
    ):  # fmt: skip
        answer = await client.get("/v1/usage/export", headers=consumer, params=params)
        assert [row.split(",")[0] for row in answer.text.splitlines()[1:]] == [request_id(n) for n in numbers]
    stranger = as_member(tokens, "01930000-0000-7000-8000-0000000000ff")
    answer = await client.get("/v1/usage/export", headers=stranger, params={"subscription_id": SUBSCRIPTION})
    assert len(answer.text.splitlines()) == 1
    parquet = await client.get("/v1/usage/export", headers=consumer, params={"format": "parquet"})
    assert (parquet.content[:4], parquet.content[-4:]) == (b"PAR1", b"PAR1")
    assert parquet.content.count(request_id(6).encode()) == 1
    assert request_id(8).encode() not in parquet.content
    xml = await client.get("/v1/usage/export", headers=consumer, params={"format": "xml"})
    assert xml.status_code == 422


async def test_streams_are_for_members_and_only_so_many_run_at_a_time(
    client: AsyncClient, app: FastAPI, tokens: TokenMaker
) -> None:
    for what in STREAMS:
        assert (await client.get(f"/v1/usage/{what}")).status_code == 401
        assert (await client.get(f"/v1/usage/{what}", headers=tokens.headers())).status_code == 403
        with app.state.streams.take():
            refused = await client.get(f"/v1/usage/{what}", headers=as_member(tokens, CONSUMER_ORG))
        assert (refused.status_code, refused.json()["code"]) == (503, "STREAMS_TAKEN")
        assert "Retry-After" in refused.headers
    for _ in range(2):  # the first gave its place back
        assert (
            await client.get("/v1/usage/export", headers=as_member(tokens, CONSUMER_ORG))
        ).status_code == 200
    assert app.state.streams.taken == 0


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A real server: what httpx asks in process is answered only when it is over."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    running = asyncio.create_task(server.serve())
    try:
        async with AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            async with asyncio.timeout(30):
                while not server.started:
                    await asyncio.sleep(0.01)
            yield http
    finally:
        server.should_exit = True
        await running


async def usage_events(lines: AsyncIterator[str]) -> AsyncIterator[Any]:
    async for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_live_usage_follows_what_is_recorded_and_a_client_that_leaves_frees_its_place(
    app: FastAPI, tokens: TokenMaker, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 0.05)
    headers = as_member(tokens, CONSUMER_ORG)
    async with served(app) as http, asyncio.timeout(60):
        async with http.stream("GET", "/v1/usage/live", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            events = usage_events(answer.aiter_lines())
            first = await anext(events)
            assert [(h["start"], h["calls"]) for h in first["hours"]] == [
                ("2026-11-15T11:00:00Z", 6),
                ("2026-11-15T12:00:00Z", 0),
            ]
            await recorder.record(an_entry(20, subscription=OTHERS, org=OTHER_ORG))  # no event of ours
            await recorder.record(an_entry(21), an_entry(22, status=500))
            second = await anext(events)
            assert (second["hours"][0]["calls"], second["hours"][0]["errors_5xx"]) == (8, 1)
            assert app.state.streams.taken == 1
        while app.state.streams.taken:
            await asyncio.sleep(0.01)
    assert app.state.db.engine.pool.checkedout() == 0
    await app.state.db.dispose()


async def test_a_live_stream_ends_after_its_time(
    client: AsyncClient, tokens: TokenMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(streams, "_LIVE_SECONDS", 0.2)
    answer = await client.get("/v1/usage/live", headers=as_member(tokens, CONSUMER_ORG))
    assert answer.text.count("event: usage") == 1
