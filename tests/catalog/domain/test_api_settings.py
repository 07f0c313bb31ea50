"""What a provider may set about calls to its API."""

from datetime import UTC, datetime
from typing import Any

import pytest

from catalog.domain.api_settings import (
    ApiSettings,
    Maintenance,
    RequestHeaders,
    Timeouts,
    changed_settings,
    checked_settings,
)
from catalog.domain.errors import BadSettings

EVERYTHING = ApiSettings(
    timeouts=Timeouts(100, 200, 300), retries=0, tls_verify=True, max_body_mb=5, blocked_ips=("192.0.2.0/24",),
    request_headers=RequestHeaders(add=(("x-a", "1"),), remove=("x-b",)),
    maintenance=Maintenance(datetime(2026, 12, 1, tzinfo=UTC)),
)  # fmt: skip


@pytest.mark.parametrize("settings", [ApiSettings(), EVERYTHING])
def test_what_was_written_is_read(settings: ApiSettings) -> None:
    assert changed_settings(ApiSettings(), settings.to_wire()) == settings
    assert checked_settings(settings) == settings


def test_a_part_that_is_left_out_stays() -> None:
    changed = changed_settings(EVERYTHING, {"retries": 3, "maintenance": None})
    assert (changed.retries, changed.maintenance, changed.timeouts) == (3, None, EVERYTHING.timeouts)


def test_equal_settings_are_equal_however_they_were_written() -> None:
    written = ApiSettings(
        blocked_ips=(" 2001:DB8::/32", "192.0.2.1/32", "192.0.2.1"),
        request_headers=RequestHeaders(add=(("X-B", "2"), ("X-A", "1")), remove=("X-C", "x-c")),
    )
    checked = checked_settings(written)
    assert checked.blocked_ips == ("192.0.2.1", "2001:db8::/32")
    assert checked.request_headers == RequestHeaders(add=(("x-a", "1"), ("x-b", "2")), remove=("x-c",))


@pytest.mark.parametrize("text", ["", "nonsense", "192.0.2.1/33", "192.0.2.1/24", "1.2.3", "host.example"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(BadSettings) as refused:
        checked_settings(ApiSettings(blocked_ips=(text,)))
    assert refused.value.field == "settings.blocked_ips"


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Transfer-Encoding", "X-API-Key", "authorization", "X-Marketplace-Secret",
     "X-Consumer-ID", "X-Forwarded-For", "x-kong-request-id", "a b", "x:y", "", "ü", "x-" + "a" * 63],
)  # fmt: skip
@pytest.mark.parametrize("part", ["add", "remove"])
def test_a_header_that_others_need_is_refused(name: str, part: str) -> None:
    changes: dict[str, Any] = {"add": ((name, "1"),)} if part == "add" else {"remove": (name,)}
    with pytest.raises(BadSettings) as refused:
        checked_settings(ApiSettings(request_headers=RequestHeaders(**changes)))
    assert refused.value.field == f"settings.request_headers.{part}"


@pytest.mark.parametrize("value", ["", "a\r\nX-B: 1", "$(os.time())", "ü", "x" * 501])
def test_a_value_that_would_be_more_than_a_value_is_refused(value: str) -> None:
    with pytest.raises(BadSettings):
        checked_settings(ApiSettings(request_headers=RequestHeaders(add=(("x-a", value),))))
