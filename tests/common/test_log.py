"""No key, token or password gets into a log line, however deep it sits."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from common.log import REDACTED, configure_logging, get_logger, redact

Lines = Callable[[], list[dict[str, Any]]]
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What was logged since the last call, each line one JSON object."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # or pytest's own would be closed
    configure_logging("sample", "debug")
    cast("logging.StreamHandler[Any]", root.handlers[0]).setStream(written)

    def since() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in written.getvalue().splitlines()]
        written.seek(0)
        written.truncate()
        return found

    yield since
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def tail(size: int) -> st.SearchStrategy[str]:
    return st.text(BASE62, min_size=size, max_size=size)


SECRET_TEXTS = st.one_of(
    tail(49).map("mk_live_".__add__), tail(49).map("mk_test_".__add__), tail(40).map("mkp_".__add__),
    tail(24).map("sk_live_".__add__), tail(24).map("sk_test_".__add__), tail(32).map("whsec_".__add__),
    st.tuples(tail(20), tail(30), tail(43)).map(lambda p: f"eyJ{p[0]}.eyJ{p[1]}.{p[2]}"),
)  # fmt: skip
SECRET_NAMES = st.sampled_from(
    [
        "password",
        "api_key",
        "Authorization",
        "cookie",
        "client_secret",
        "key",
        "access_token",
        "jwt",
        "DB_PASSWORD",
    ]
)


@st.composite
def hidden(draw: st.DrawFn) -> tuple[str, Any]:
    """A secret, and a value that holds it somewhere: in text, under a telling name, in bytes, as a name itself."""
    by_name = draw(st.booleans())
    secret = "pw" + draw(tail(20)) if by_name else draw(SECRET_TEXTS)
    value: Any = {draw(SECRET_NAMES): secret} if by_name else draw(
        st.sampled_from([secret, f"the key {secret} was used", secret.encode(), {secret: 1}, ValueError(secret)])
    )  # fmt: skip
    for _ in range(draw(st.integers(0, 4))):
        value = draw(st.sampled_from([{"outer": value}, [1, value], (value,), {"a": [value]}]))
    return secret, value


@given(hidden())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_a_secret_at_any_depth_is_not_in_the_line(lines: Lines, case: tuple[str, Any]) -> None:
    secret, value = case
    get_logger().info("thing.done", field=value)
    logging.getLogger("library").info(
        "%s", value if not isinstance(value, dict) else "x", extra={"field": value}
    )
    found = lines()
    assert len(found) == 2
    assert secret not in json.dumps(found, ensure_ascii=False)


@given(SECRET_TEXTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_secret_in_an_exception_is_not_in_the_line(lines: Lines, secret: str) -> None:
    try:
        try:
            raise KeyError(secret)
        except KeyError:
            raise RuntimeError(f"cannot use {secret}") from None
    except RuntimeError as error:
        get_logger().error("thing.failed", exc_info=error)
        logging.getLogger("library").exception("failed with %s", secret)
    ours, theirs = lines()
    assert secret not in json.dumps([ours, theirs])
    for line in (ours, theirs):
        assert "RuntimeError: cannot use [redacted]" in line["exception"]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql+asyncpg://billing_api:hunter2@db/billing", "billing_api:hunter2"),
        ("redis://:hunter2@cache:6379/0", ":hunter2"),
        ("sent Bearer abcdefghijkl twice", "abcdefghijkl"),
        ("{'password': 'hunter2', 'a': 1}", "hunter2"),
        ('body was {"client_secret": "hunter2"}', "hunter2"),
        ("password=hunter2 host=db", "hunter2"),
        ("X-API-Key: hunter2hunter2", "hunter2hunter2"),
    ],
)
def test_a_secret_in_running_text_is_taken_out_and_the_rest_stays(text: str, secret: str) -> None:
    found = str(redact(text))
    assert secret not in found
    assert found.replace(REDACTED, secret) == text


def test_what_is_no_secret_is_left_alone() -> None:
    value = {
        "invoice_id": "01900000-0000-7000-8000-000000000001", "count": 3, "ok": True, "none": None, "rate": 0.5,
        "topic": "subscriptions.key.v1", "text": "the monkey typed a password", "key_id": "x",
        "api_key_id": "x", "token_count": 5,
        "url": "http://127.0.0.1:8001/consumers",
    }  # fmt: skip
    assert redact(value) == value


def test_a_line_is_json_with_event_level_service_time_and_request_id(lines: Lines) -> None:
    structlog.contextvars.bind_contextvars(request_id="r1")
    get_logger().warning("invoice.finalized", invoice_id=7)
    structlog.contextvars.clear_contextvars()
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "service": "sample", "request_id": "r1", "event": "invoice.finalized", "level": "warning", "invoice_id": 7,
    }  # fmt: skip


def test_a_value_that_json_does_not_know_is_logged_as_text(lines: Lines) -> None:
    @dataclass
    class Point:
        x: int

    get_logger().info("thing.done", point=Point(1), deep=[{"p": Point(2)}], settings=SecretStr("hunter2"))
    (line,) = lines()
    assert line["point"].endswith("Point(x=1)")
    assert line["deep"][0]["p"].endswith("Point(x=2)")
    assert "hunter2" not in json.dumps(line)
