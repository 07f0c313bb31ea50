import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.devstack.programs import Program, running

KEY = "mk_live_" + "a1B2" * 12 + "x"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running("devstack.upstream", tmp_path_factory.mktemp("upstream")) as program:
        yield program


@pytest.fixture
def client(upstream: Program) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=upstream.url) as client:
        yield client


def _last(client: httpx.Client) -> dict[str, Any]:
    total = client.get("/__journal").json()["total"]
    entry: dict[str, Any] = client.get("/__journal", params={"since": total - 1}).json()["entries"][0]
    return entry


def test_rates_are_the_same_for_ever(client: httpx.Client) -> None:
    first = client.get("/rates/eur/USD", params={"date": "2026-01-30"}).json()
    assert first == client.get("/rates/EUR/usd", params={"date": "2026-01-30"}).json()
    assert first == {"base": "EUR", "quote": "USD", "date": "2026-01-30", "rate": first["rate"]}
    table = client.get("/rates/EUR", params={"date": "2026-01-30", "symbols": "USD,GBP"}).json()
    assert list(table["rates"]) == ["USD", "GBP"]
    assert table["rates"]["USD"] == first["rate"]


def test_history_has_one_rate_per_day_both_ends_included(client: httpx.Client) -> None:
    answer = client.get("/rates/EUR/JPY/history", params={"from": "2026-01-01", "to": "2026-01-31"})
    assert len(answer.json()["items"]) == 31


def test_a_conversion_can_be_read_again_under_its_id(client: httpx.Client) -> None:
    wanted = {"from": "EUR", "to": "USD", "amount": "125.50", "date": "2026-01-30"}
    made = client.post("/conversions", json=wanted)
    assert made.status_code == 201
    assert client.get(made.headers["location"]).json() == made.json()


def test_a_batch_reports_its_units(client: httpx.Client) -> None:
    one = {"from": "EUR", "to": "USD", "amount": "1"}
    answer = client.post("/conversions/batch", json={"items": [one, one, one]})
    assert answer.headers["x-usage-units"] == "3"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/rates/XXX", 404),
        ("GET", "/rates/EUR?date=2026-02-30", 400),
        ("GET", "/rates/EUR?date=1998-01-01", 400),
        ("GET", "/rates/EUR/USD/history", 400),
        ("GET", "/rates/EUR/USD/history?from=2024-01-01&to=2026-01-01", 400),
        ("GET", "/conversions/nonsense", 404),
        ("POST", "/conversions", 400),
        ("DELETE", "/currencies", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/status/700", 400),
    ],
)
def test_a_wrong_call_gets_a_problem_document(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"


def test_every_good_answer_fits_the_document_it_ships(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    calls = {
        ("get", "/currencies"): client.get("/currencies"),
        ("get", "/rates/{base}"): client.get("/rates/EUR"),
        ("get", "/rates/{base}/{quote}"): client.get("/rates/EUR/USD"),
        ("get", "/rates/{base}/{quote}/history"): client.get("/rates/EUR/USD/history?from=2026-10-01"),
        ("post", "/conversions"): client.post(
            "/conversions", json={"from": "EUR", "to": "USD", "amount": "2"}
        ),
        ("post", "/echo"): client.post("/echo", content=b"hello"),
        ("get", "/status/{code}"): client.get("/status/200"),
    }
    for (method, path), answer in calls.items():
        response = document["paths"][path][method]["responses"][str(answer.status_code)]
        schema = response["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())


@pytest.mark.parametrize("status", [200, 204, 304, 404, 429, 500, 503, 599])
def test_any_status_can_be_had(client: httpx.Client, status: int) -> None:
    assert client.get(f"/status/{status}").status_code == status
    assert client.get("/currencies", headers={"X-Simulate-Status": str(status)}).status_code == status
    assert _last(client)["status"] == status


def test_slow_and_large_answers_can_be_had(client: httpx.Client) -> None:
    before = time.monotonic()
    answer = client.get("/currencies", headers={"X-Simulate-Delay-Ms": "300", "X-Simulate-Bytes": "50000"})
    assert time.monotonic() - before >= 0.3
    assert len(answer.content) == 50_000
    assert answer.json()["items"]
    assert _last(client)["bytes"] == 50_000


def test_the_journal_says_who_called_what_under_which_request_id(client: httpx.Client) -> None:
    headers = {"X-Kong-Request-Id": "r-1", "X-Consumer-Custom-Id": "sub-1", "X-Consumer-Username": "sub_1"}
    client.get("/rates/EUR/USD?date=2026-01-30", headers=headers)
    entry = _last(client)
    assert entry["request_id"] == "r-1"
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/rates/EUR/USD", 200)
    assert entry["operation"] == "getRate"
    assert entry["consumer"] == {"custom_id": "sub-1", "username": "sub_1"}
    assert entry["leaks"] == []


def test_the_journal_says_whom_the_gateway_introduced_and_keeps_no_secret(client: httpx.Client) -> None:
    told = {"X-Marketplace-Organisation": "o-1", "X-Marketplace-Signature": "v1=abc"}
    client.get("/rates/EUR/USD", headers=told | {"X-Marketplace-Secret": "mks_x, mks_y"})
    assert _last(client)["caller"] == {"organisation": "o-1", "signature": "v1=abc", "secret": True}


def test_a_key_that_comes_through_is_noted_but_not_written_down(
    upstream: Program, client: httpx.Client
) -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    client.get(f"/currencies?apikey={KEY}", headers={"X-API-Key": digest, "X-Upstream-Secret": digest})
    leaks = {(leak["where"], leak["kind"]) for leak in _last(client)["leaks"]}
    assert leaks == {("query", "key"), ("header x-api-key", "digest")}
    journal = (upstream.state / "journal.jsonl").read_text()
    assert KEY not in journal
    assert digest not in journal


def test_the_journal_is_read_in_steps(client: httpx.Client) -> None:
    start = client.get("/__journal").json()["total"]
    for _ in range(3):
        client.get("/currencies")
    page = client.get("/__journal", params={"since": start}).json()
    assert [entry["seq"] for entry in page["entries"]] == [start, start + 1, start + 2]
    assert page["next"] == start + 3
    assert client.get("/__journal", params={"since": page["next"]}).json()["entries"] == []


def test_whatever_was_answered_before_a_kill_is_in_the_journal_after_it(tmp_path: Path) -> None:
    answered: list[str] = []

    def call(url: str, worker: int) -> None:
        with httpx.Client(base_url=url) as client:
            for number in range(10_000):
                request_id = f"{worker}-{number}"
                try:
                    client.get("/currencies", headers={"X-Kong-Request-Id": request_id})
                except httpx.TransportError:
                    return
                answered.append(request_id)

    with running("devstack.upstream", tmp_path) as program:
        callers = [threading.Thread(target=call, args=(program.url, worker)) for worker in range(4)]
        for caller in callers:
            caller.start()
        while len(answered) < 100:
            time.sleep(0.01)
        program.kill()
        for caller in callers:
            caller.join()
        with (tmp_path / "journal.jsonl").open("a") as file:
            file.write('{"torn": ')
        program.start()
        httpx.get(f"{program.url}/currencies")
        journal = httpx.get(f"{program.url}/__journal").json()["entries"]
    assert set(answered) <= {entry["request_id"] for entry in journal}
    assert [entry["seq"] for entry in journal] == list(range(len(journal)))


def test_another_document_is_served_by_examples_of_its_schemas(tmp_path: Path) -> None:
    item = {
        "type": "object",
        "properties": {"id": {"type": "integer", "minimum": 5}, "next": {"$ref": "#/c/Item"}},
    }
    document = {
        "openapi": "3.0.3",
        "info": {"title": "t", "version": "1"},
        "c": {"Item": item},
        "paths": {
            "/items/{id}.json": {"get": {"responses": {"200": _json({"$ref": "#/c/Item"})}}},
            "/items": {"post": {"responses": {"201": _json({"allOf": [{"$ref": "#/c/Item"}]}), "400": {}}}},
            "/items/special.json": {"get": {"responses": {"204": {"description": "none"}}}},
        },
    }
    path = tmp_path / "document.json"
    path.write_text(json.dumps(document))
    with running("devstack.upstream", tmp_path / "state", "--document", str(path)) as program:
        assert httpx.get(f"{program.url}/items/7.json").json()["id"] == 6
        assert httpx.get(f"{program.url}/items/special.json").status_code == 204
        assert httpx.post(f"{program.url}/items").status_code == 201
        assert httpx.get(f"{program.url}/openapi.json").json() == document
        assert httpx.get(f"{program.url}/__journal").json()["total"] == 3


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "d", "content": {"application/json": {"schema": schema}}}
