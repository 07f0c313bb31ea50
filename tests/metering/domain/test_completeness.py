from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import pytest

from metering.domain.completeness import Share
from metering.domain.gateway_counters import Reading, Series, increase, read_metrics
from tests.metering.factories import API, SUBSCRIPTION, VERSION

TEXT = f"""# HELP kong_http_requests_total HTTP status codes per consumer/service/route in Kong
# TYPE kong_http_requests_total counter
kong_http_requests_total{{service="a.b",route="route.{VERSION}",code="200",source="service",workspace="default",consumer="sub_{SUBSCRIPTION}"}} 7
kong_http_requests_total{{service="a.b",route="route.{VERSION}",code="429",source="kong",workspace="default",consumer="sub_{SUBSCRIPTION}"}} 3
kong_http_requests_total{{service="a \\"b\\" c",route="route-latest.{API}",code="401",source="kong",workspace="default",consumer=""}} 1e+06
kong_bandwidth_bytes{{service="a.b",route="r",direction="egress",consumer=""}} 12
kong_nginx_requests_total{{node_id="1",subsystem="http"}} 41
"""  # noqa: E501
ONE = Series("a.b", f"route.{VERSION}", f"sub_{SUBSCRIPTION}")
TWO = Series('a \\"b\\" c', f"route-latest.{API}", "")


def test_requests_are_added_up_whatever_they_were_answered() -> None:
    assert read_metrics(TEXT) == Reading(41, {ONE: 10, TWO: 1_000_000})


def test_a_sample_without_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        read_metrics("kong_http_requests_total{} ?")


@pytest.mark.parametrize(
    ("consumer", "subscription"),
    [
        (f"sub_{SUBSCRIPTION}", SUBSCRIPTION), (f"test_{SUBSCRIPTION}", SUBSCRIPTION),
        (f"sub_{SUBSCRIPTION}_share_{API}", SUBSCRIPTION), ("", None), ("marketplace_revoked_keys", None),
        (f"sub_{SUBSCRIPTION}x", None),
    ],
)  # fmt: skip
def test_names_say_whose_calls_they_were(consumer: str, subscription: str | None) -> None:
    series = Series("s", f"route.{VERSION}", consumer)
    assert series.subscription_id == (UUID(subscription) if subscription else None)
    assert (series.version_id, series.api_id) == (UUID(VERSION), None)
    assert (Series("s", "theirs", "").version_id, TWO.api_id) == (None, UUID(API))
    group = Series("s", f"route-scopes.{VERSION}.0a1b2c3d4e.GET.0", consumer)
    assert (group.version_id, group.api_id) == (UUID(VERSION), None)


def test_what_was_counted_between_two_readings() -> None:
    before = Reading(41, {ONE: 10})
    assert increase(before, Reading(44, {ONE: 12, TWO: 5})) == {ONE: 2, TWO: 5}
    assert increase(before, Reading(42, {ONE: 10})) == {}


@pytest.mark.parametrize(
    "now", [Reading(40, {ONE: 11}), Reading(50, {ONE: 9}), Reading(50, {TWO: 90}), Reading(50, {})]
)
def test_a_node_that_began_anew_is_told_by_any_counter_that_fell_or_vanished(now: Reading) -> None:
    assert increase(Reading(41, {ONE: 10}), now) is None
    assert increase(None, now) is None


@pytest.mark.parametrize(
    ("share", "missing", "percent", "below"),
    [
        (Share(0, 5), 0, "100", False), (Share(1000, 1000), 0, "100.0000", False),
        (Share(1000, 999), 1, "99.9000", False), (Share(1001, 999), 2, "99.8001", True),
        (Share(10, 3, 1), 6, "40.0000", True), (Share(10, 8, 3), 0, "100.0000", False),
        (Share(10, 12), 0, "100.0000", False),
        (Share(3_000_000, 2_999_999), 1, "99.9999", False),
    ],
)  # fmt: skip
def test_a_share_is_rounded_down_and_judged_exactly(
    share: Share, missing: int, percent: str, *, below: bool
) -> None:
    assert (share.missing, share.percent, share.is_below(Decimal("99.9"))) == (
        missing,
        Decimal(percent),
        below,
    )
