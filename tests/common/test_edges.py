"""ETags, request ids, health, metrics and the docs page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from common.db import Database
from common.http.checks import connect_check, kafka_check, redis_check
from common.settings import ServiceSettings
from devstack.embedded.databases import DatabaseUrls
from devstack.embedded.ports import free_port
from tests.common.apps import client_of, sample_app
from tests.support.tokens import TokenMaker


async def healthy() -> None:
    return


HEALTHY = {"redis": healthy, "kafka": healthy}


@pytest.fixture
def app(db: Database, settings: ServiceSettings, tokens: TokenMaker) -> FastAPI:
    return sample_app(db, settings, tokens, checks=HEALTHY)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.mark.parametrize("if_match", [None, "*", '"7"', '"1", "7"'])
async def test_a_change_of_the_present_state_is_made(client: httpx.AsyncClient, if_match: str | None) -> None:
    answer = await client.put("/versioned", headers={"If-Match": if_match} if if_match else {})
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"8"')


@pytest.mark.parametrize("if_match", ['"6"', "7", 'W/"7"', '""', '"77"'])
async def test_a_change_of_another_state_is_refused(client: httpx.AsyncClient, if_match: str) -> None:
    answer = await client.put("/versioned", headers={"If-Match": if_match})
    assert (answer.status_code, answer.json()["code"]) == (412, "PRECONDITION_FAILED")


async def test_the_gateways_request_id_is_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get("/livez", headers={"X-Request-Id": "0123456789abcdef"})
    assert answer.headers["X-Request-Id"] == "0123456789abcdef"


@pytest.mark.parametrize("offered", ["", "short", "x" * 65, "a b c d e f g h", "{jndi:ldap://x}"])
async def test_a_request_id_that_could_do_harm_is_replaced(client: httpx.AsyncClient, offered: str) -> None:
    found = (await client.get("/livez", headers={"X-Request-Id": offered})).headers["X-Request-Id"]
    assert found != offered
    assert re.fullmatch(r"[0-9a-f]{32}", found)


async def test_a_live_service_with_its_database_is_ready_whatever_else_is_away(
    db: Database, settings: ServiceSettings, tokens: TokenMaker
) -> None:
    async with client_of(sample_app(db, settings, tokens)) as client:  # Redis and Kafka are away
        assert (await client.get("/livez")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).status_code == 200
        health = await client.get("/health")
    assert health.status_code == 503
    assert health.json()["checks"] == {"database": "ok", "redis": "down", "kafka": "down"}


async def test_a_service_without_its_database_lives_and_is_not_ready(
    settings: ServiceSettings, tokens: TokenMaker, urls: DatabaseUrls
) -> None:
    for url in ("postgresql+asyncpg://a:b@127.0.0.1:1/x", urls.api + "_dropped"):
        db = Database(url, name="test")
        async with client_of(sample_app(db, settings, tokens)) as client:
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/readyz")).status_code == 503
        await db.dispose()


async def test_a_database_without_tables_is_not_ready(
    settings: ServiceSettings, tokens: TokenMaker, urls: DatabaseUrls
) -> None:
    db = Database(urls.superuser.rsplit("/", 1)[0] + "/postgres", name="test")
    async with client_of(sample_app(db, settings, tokens)) as client:
        assert (await client.get("/readyz")).status_code == 503
    await db.dispose()


async def test_health_is_ok_when_every_part_answers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


async def test_checks_of_parts_that_are_away_fail(kafka: str) -> None:
    away = free_port()
    for check in (
        redis_check(f"redis://127.0.0.1:{away}"), kafka_check(f"127.0.0.1:{away}"),
        connect_check(f"http://127.0.0.1:{away}/x"),
    ):  # fmt: skip
        with pytest.raises((OSError, Exception), match=r"(?i)connect|refused|errno"):
            await check()
    await kafka_check(kafka)()
    await connect_check(f"http://{kafka}/x")()


async def test_requests_are_counted_by_their_route_and_never_by_an_id(client: httpx.AsyncClient) -> None:
    await client.get("/conflict")
    await client.get("/nowhere/123456")
    metrics = (await client.get("/metrics")).text
    assert 'service="sample",method="GET",route="/conflict",status="409"' in _by_service(metrics)
    assert "123456" not in metrics
    assert 'route="unmatched",status="404"' in _by_service(metrics)


def _by_service(metrics: str) -> str:
    """The samples with their labels in the order in which they are declared."""
    order = ("service", "method", "route", "status")
    found = []
    for labels in re.findall(r"marketplace_http_requests_total\{(.*)\} ", metrics):
        values = dict(re.findall(r'(\w+)="(.*?)"', labels))
        found.append(",".join(f'{name}="{values[name]}"' for name in order))
    return "\n".join(found)


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_docs_pages_load_nothing_from_elsewhere(client: httpx.AsyncClient, page: str) -> None:
    answer = await client.get(page)
    loaded = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']?([^"'\s>,]+)""", answer.text)
    assert answer.status_code == 200
    assert loaded
    assert [url for url in loaded if not url.startswith(("/", "data:"))] == []
    for url in loaded:
        if url.startswith("/"):
            assert (await client.get(url)).status_code == 200


async def test_the_openapi_document_describes_every_endpoint(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert {"/notes", "/keys", "/versioned", "/livez", "/readyz", "/health", "/metrics"} <= set(
        document["paths"]
    )
