from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from common.db import Database
from metering.domain.call import read_envelope
from metering.main import create_app
from metering.settings import Settings
from tests.metering.conftest import INGEST_TOKEN
from tests.metering.factories import an_entry, request_id
from tests.metering.recording import count, one
from tests.support.broker import Broker
from tests.support.mmdb import mmdb
from tests.support.tokens import TokenMaker

HEADERS = {"X-Ingest-Token": INGEST_TOKEN}
URL = "/v1/ingest/kong"


async def records(app: FastAPI, *, partitions: int = 4) -> list[list[str]]:
    """The request ids of each record in the topic."""
    found = await raw_records(app, partitions=partitions)
    return [[entry.request.id for entry in read_envelope(value)[0]] for value in found]


async def raw_records(app: FastAPI, *, partitions: int = 4) -> list[bytes]:
    topic, servers = app.state.kafka_log.topic, app.state.settings.kafka_bootstrap_servers
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        assigned = [TopicPartition(topic, n) for n in range(partitions)]
        consumer.assign(assigned)
        await consumer.seek_to_beginning(*assigned)
        found: list[bytes] = []
        for _ in range(5):
            for batch in (await consumer.getmany(timeout_ms=400)).values():
                found += [r.value for r in batch]
        return found
    finally:
        await consumer.stop()


async def test_a_batch_becomes_one_record_and_is_answered_when_it_is_stored(
    client: AsyncClient, app: FastAPI
) -> None:
    answer = await client.post(URL, headers=HEADERS, json=[an_entry(1), an_entry(2)])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "rejected": 0, "foreign": 0})
    assert await records(app) == [[request_id(1), request_id(2)]]


async def test_an_object_a_gzipped_array_and_foreign_entries(client: AsyncClient) -> None:
    assert (await client.post(URL, headers=HEADERS, json=an_entry(1))).json()["accepted"] == 1
    packed = gzip.compress(json.dumps([an_entry(2)]).encode()) + gzip.compress(b"  ")
    answer = await client.post(URL, headers={**HEADERS, "Content-Encoding": "gzip"}, content=packed)
    assert answer.json()["accepted"] == 1
    foreign = an_entry() | {"service": {"id": "x"}, "route": None, "consumer": None}
    assert (await client.post(URL, headers=HEADERS, json=[foreign])).json() == {
        "accepted": 0,
        "rejected": 0,
        "foreign": 1,
    }


async def test_bad_entries_go_to_the_dead_letters_redacted_and_the_rest_goes_on(
    client: AsyncClient, worker_db: Database
) -> None:
    bad = an_entry(2) | {
        "started_at": "soon",
        "request": {"id": "x", "headers": {"x-api-key": "mk_live_" + "a" * 49}},
    }
    answer = await client.post(URL, headers=HEADERS, json=[an_entry(1), bad, an_entry(3)])
    assert answer.json() == {"accepted": 2, "rejected": 1, "foreign": 0}
    letter = await one(worker_db, "SELECT * FROM dead_letter")
    assert "started_at" in letter.reason
    assert "mk_live" not in letter.payload + letter.reason
    assert "headers" not in letter.payload


async def test_with_a_maxmind_file_the_country_goes_along_and_the_address_does_not(
    make_settings: Callable[..., Settings], kafka: str, tmp_path: Path
) -> None:
    path = tmp_path / "countries.mmdb"
    path.write_bytes(mmdb({"203.0.113.0/24": "NL"}))
    app = create_app(make_settings(KAFKA_BOOTSTRAP_SERVERS=kafka, geoip_path=path))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://metering") as client:
        await client.post(URL, headers=HEADERS, json=[an_entry(1), an_entry(2, client_ip="198.51.100.7")])
    [record] = await raw_records(app)
    assert [(e.client_net, e.country) for e in read_envelope(record)[0]] == [
        ("203.0.113.0/24", "NL"),
        ("198.51.100.0/24", None),
    ]
    assert b"203.0.113.77" not in record
    await app.state.kafka_log.close()
    await app.state.db.dispose()


@pytest.mark.parametrize("body", [b"", b"nonsense", b'[{"a":', b"\xff\xfe", b"[" * 10_000, b"null"])
async def test_what_is_no_json_is_taken_once_as_a_rejection(
    client: AsyncClient, worker_db: Database, body: bytes
) -> None:
    answer = await client.post(URL, headers=HEADERS, content=body)
    assert (answer.status_code, answer.json()["rejected"]) == (202, 1)
    assert await count(worker_db, "dead_letter") == 1


async def test_a_flood_of_bad_entries_is_summed_up(client: AsyncClient, worker_db: Database) -> None:
    answer = await client.post(URL, headers=HEADERS, json=[1] * 5_000)
    assert answer.json()["rejected"] == 5_000
    assert await count(worker_db, "dead_letter") == 101


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Ingest-Token": "wrong"}, {"X-Ingest-Token": INGEST_TOKEN + "x"}, {"X-Ingest-Token": "ingest-ö"}],
)
async def test_without_the_token_nobody_gets_in(
    client: AsyncClient, headers: dict[str, str], tokens: TokenMaker
) -> None:
    encoded = {name.encode(): value.encode() for name, value in headers.items()}
    answer = await client.post(URL, headers=encoded, json=[an_entry()])
    assert (answer.status_code, answer.json()["code"]) == (401, "INGEST_TOKEN_INVALID")
    admin = tokens.headers(organisation_id=None, platform_admin=True)
    assert (await client.post(URL, headers=admin, json=[an_entry()])).status_code == 401


async def test_a_body_over_the_limit_is_refused_packed_or_not(
    make_settings: Callable[..., Settings], kafka: str, tokens: TokenMaker
) -> None:
    app = create_app(make_settings(KAFKA_BOOTSTRAP_SERVERS=kafka, body_limit_bytes=10_000))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://metering") as client:
        bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
        assert len(bomb) > 10_000
        cases: list[tuple[dict[str, str], Any]] = [
            ({}, b" " * 10_001),
            ({"Content-Encoding": "gzip"}, gzip.compress(b"[" + b" " * 1_000_000 + b"]")),
            ({"Content-Encoding": "gzip"}, bomb),
        ]
        for headers, content in cases:
            answer = await client.post(URL, headers=HEADERS | headers, content=content)
            assert (answer.status_code, answer.json()["code"]) == (413, "REQUEST_TOO_LARGE")

        async def chunks() -> Any:
            for _ in range(20):
                yield b" " * 1_000

        assert (await client.post(URL, headers=HEADERS, content=chunks())).status_code == 413
        cut = gzip.compress(json.dumps([an_entry()]).encode())[:-20]
        answer = await client.post(URL, headers={**HEADERS, "Content-Encoding": "gzip"}, content=cut)
        assert (answer.status_code, answer.json()["rejected"]) == (202, 1)
        brotli = await client.post(URL, headers={**HEADERS, "Content-Encoding": "br"}, content=b"x")
        assert brotli.status_code == 415
    await app.state.kafka_log.close()
    await app.state.db.dispose()


async def test_without_kafka_nothing_counts_as_taken_and_with_it_again_nothing_is_lost(
    make_settings: Callable[..., Settings], own_broker: Broker, tokens: TokenMaker, worker_db: Database
) -> None:
    settings = make_settings(KAFKA_BOOTSTRAP_SERVERS=own_broker.address, ack_timeout_seconds=1.5)
    app = create_app(settings)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://metering") as client:
        assert (await client.post(URL, headers=HEADERS, json=[an_entry(1)])).status_code == 202
        await own_broker.kill()
        refused = await client.post(URL, headers=HEADERS, json=[an_entry(2), {"started_at": 0}])
        assert (refused.status_code, refused.json()["code"]) == (503, "INGEST_UNAVAILABLE")
        assert refused.headers["Retry-After"] == "1"
        assert await count(worker_db, "dead_letter") == 0
        await own_broker.start()
        async with asyncio.timeout(30):
            while (await client.post(URL, headers=HEADERS, json=[an_entry(2)])).status_code != 202:
                await asyncio.sleep(0.2)
        assert [request_id(2)] in await records(app)
    await app.state.kafka_log.close()
    await app.state.db.dispose()


async def test_too_much_waiting_for_kafka_is_pushed_back(
    make_settings: Callable[..., Settings], kafka: str, tokens: TokenMaker
) -> None:
    app = create_app(make_settings(KAFKA_BOOTSTRAP_SERVERS=kafka, pending_limit_bytes=2_048))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://metering") as client:
        assert (
            await client.post(URL, headers=HEADERS, json=[an_entry(n) for n in range(20)])
        ).status_code == 503
        assert (await client.post(URL, headers=HEADERS, json=[an_entry(1)])).status_code == 202
    await app.state.kafka_log.close()
    await app.state.db.dispose()
