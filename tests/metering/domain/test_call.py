from __future__ import annotations

import json
from typing import Any

import pytest

from metering.domain.call import Call, Version, read_envelope, to_call
from metering.domain.lateness import milliseconds
from metering.domain.matcher import Endpoint, Matcher
from metering.domain.parse_log import envelope, parse
from tests.metering.factories import (
    API,
    AT,
    CONSUMER_ORG,
    ENDPOINT,
    KEY,
    NAMESPACE,
    PLAN_VERSION,
    PROVIDER_ORG,
    SUBSCRIPTION,
    VERSION,
    an_entry,
)

VERSIONS = {VERSION: Version("v1", Matcher([Endpoint(ENDPOINT, "GET", "/things/{id}", 3)]))}


def call_of(**overrides: Any) -> Call:
    return stored(an_entry(**overrides))


def stored(entry: dict[str, Any]) -> Call:
    [(_, stripped)] = parse(json.dumps(entry).encode(), namespace=NAMESPACE).entries
    [read], unreadable = read_envelope(envelope([stripped]))
    assert unreadable == []
    return to_call(read, VERSIONS)


def test_the_entry_alone_says_who_pays_whom_for_what() -> None:
    call = call_of()
    assert (call.who.subscription_id, call.who.plan_version_id, call.who.key_id) == (
        SUBSCRIPTION,
        PLAN_VERSION,
        KEY,
    )
    assert (call.who.consumer_org, call.who.provider_org) == (CONSUMER_ORG, PROVIDER_ORG)
    assert (call.who.api_id, call.who.version_id, call.endpoint_id, call.started_ms) == (
        API,
        VERSION,
        ENDPOINT,
        milliseconds(AT),
    )


@pytest.mark.parametrize(
    ("overrides", "billable"),
    [
        ({}, True),
        ({"status": 404}, True),
        ({"status": 499}, True),
        ({"status": 500}, False),
        ({"status": 200, "upstream_status": "502, 200"}, True),
        ({"status": 502, "source": "kong", "upstream_status": "502, 502"}, False),
        ({"status": 429, "source": "kong"}, False),
        ({"status": 403, "source": "kong"}, False),
        ({"status": 401, "source": "kong", "consumer": False}, False),
        ({"status": 499, "upstream_status": ""}, False),  # the client went away before the upstream answered
        ({"mode": "test"}, False),
        ({"source": "exit"}, False),
    ],
)
def test_only_what_the_upstream_answered_below_500_for_a_live_key_is_billable(
    overrides: dict[str, Any], billable: bool
) -> None:
    call = call_of(**overrides)
    assert call.billable is billable
    assert call.units == (3 if billable else 0)  # the endpoint's weight


def test_units_are_what_the_response_reported_then_the_weight_then_one() -> None:
    assert call_of(usage_units=42).units == 42
    assert call_of().units == 3
    assert call_of(path="/acme/pay/v1/unknown").units == 1
    assert call_of(usage_units=0).units == 0


def test_a_restricted_keys_consumer_counts_to_the_subscription_in_its_tag() -> None:
    entry = an_entry()
    entry["consumer"]["custom_id"] = "key_1"
    [(routing_key, _)] = parse(json.dumps(entry).encode(), namespace=NAMESPACE).entries
    assert routing_key == stored(entry).who.subscription_id == SUBSCRIPTION


def sold_by(*tags: str, **overrides: Any) -> Call:
    entry = an_entry(**overrides)
    entry["consumer"]["tags"] += tags
    return stored(entry)


@pytest.mark.parametrize(
    ("tag", "status", "billable"),
    [
        ("counts:2xx", 200, True),
        ("counts:2xx", 404, False),
        ("counts:2xx.404", 404, True),
        ("counts:2xx.404", 403, False),
        ("counts:404", 200, False),
        ("counts:4xx", 500, False),
    ],
)
def test_a_plan_names_the_statuses_that_it_charges_for(tag: str, status: int, billable: bool) -> None:
    call = sold_by(tag, status=status)
    assert (call.billable, call.units) == (billable, 3 if billable else 0)


def test_a_plan_never_makes_what_the_gateway_answered_billable() -> None:
    assert not sold_by("counts:2xx.4xx", status=429, source="kong").billable


def test_reported_units_are_capped_by_the_plan_and_weights_are_not() -> None:
    assert sold_by("cap:10", usage_units=999).units == 10
    assert sold_by("cap:10", usage_units=7).units == 7
    assert sold_by("cap:2").units == 3  # the endpoint's weight
    assert sold_by(usage_units=999).units == 999


@pytest.mark.parametrize("tag", ["counts:", "counts:5xx", "counts:2xx.", "cap:", "cap:-1", "cap:ten"])
def test_terms_that_cannot_be_read_are_refused_at_ingest(tag: str) -> None:
    entry = an_entry()
    entry["consumer"]["tags"].append(tag)
    result = parse(json.dumps(entry).encode(), namespace=NAMESPACE)
    assert result.entries == []
    assert "tag" in result.rejected[0].reason
