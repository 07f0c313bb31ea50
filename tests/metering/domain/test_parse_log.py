from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.domain.attribution import attribute_stored
from metering.domain.call import read_envelope
from metering.domain.entry import Entry
from metering.domain.parse_log import Parsed, envelope, last_status, parse, partition_of
from tests.metering.factories import API, NAMESPACE, SUBSCRIPTION, an_entry, request_id


def parsed(*entries: Any) -> Parsed:
    return parse(json.dumps(list(entries)).encode(), namespace=NAMESPACE)


def test_an_array_and_a_single_object_are_both_read() -> None:
    assert len(parsed(an_entry(1), an_entry(2)).entries) == 2
    assert len(parse(json.dumps(an_entry()).encode(), namespace=NAMESPACE).entries) == 1


def test_nothing_but_what_metering_reads_survives() -> None:
    entry = an_entry(
        request={
            "id": request_id(1), "method": "get", "uri": "/acme/pay/v1/x?apikey=mk_live_secret", "size": 1,
            "url": "http://proxy/acme/pay/v1/x?apikey=mk_live_secret", "querystring": {"apikey": "mk_live_secret"},
            "headers": {"x-api-key": "mk_live_secret", "cookie": "session=1"},
        },
        client_ip="203.0.113.77",
    )  # fmt: skip
    record = envelope([e for _, e in parsed(entry).entries]).decode()
    for secret in (
        "mk_live_secret",
        "session",
        "203.0.113.77",
        "?",
        "upstream.internal",
        "10.1.2.3",
        "username",
    ):
        assert secret not in record
    assert '"path":"/acme/pay/v1/x"' in record
    assert '"method":"GET"' in record


def test_of_the_clients_address_its_network_and_country_are_left() -> None:
    body = json.dumps([an_entry(1), an_entry(2, client_ip="nonsense"), an_entry(3, client_ip=None)]).encode()
    entries = [e for _, e in parse(body, namespace=NAMESPACE, country_of={"203.0.113.77": "NL"}.get).entries]
    assert [(e.client_ip, e.client_net, e.country) for e in entries] == [
        (None, "203.0.113.0/24", "NL"),
        (None, None, None),
        (None, None, None),
    ]


def test_a_sender_names_neither_network_nor_country_itself() -> None:
    [(_, entry)] = parsed(an_entry(client_ip=None, client_net="203.0.113.77", country="NL")).entries
    assert (entry.client_net, entry.country) == (None, None)


def test_one_bad_entry_does_not_take_the_others_with_it() -> None:
    result = parsed(
        an_entry(1), {"started_at": "yesterday", "request": {"id": "x", "uri": "/a?key=hush"}}, an_entry(2)
    )
    assert [e.request.id for _, e in result.entries] == [request_id(1), request_id(2)]
    assert len(result.rejected) == 1
    assert "started_at" in result.rejected[0].reason
    assert "hush" not in result.rejected[0].redacted


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"request": {"id": "", "method": "GET"}}, "request id"),
        ({"request": {"id": "a b", "method": "GET"}}, "request id"),
        ({"request": {"id": "a" * 65, "method": "GET"}}, "request id"),
        ({"request": {"id": "a", "method": "GE T"}}, "method"),
        ({"response": {"status": 1000}}, "status"),
        ({"response": {"status": 200, "size": 1e300}}, "response size"),
        ({"started_at": -5}, "started_at"),
        ({"started_at": 10**30}, "started_at"),
        ({"usage_units": -7}, "usage_units"),
        ({"usage_units": 10**18}, "usage_units"),
    ],
)
def test_a_value_that_cannot_be_is_rejected_by_name(change: dict[str, Any], reason: str) -> None:
    result = parsed(an_entry(**change))
    assert result.entries == []
    assert reason in result.rejected[0].reason


def test_an_entry_of_ours_that_names_no_payer_is_rejected() -> None:
    entry = an_entry()
    entry["consumer"]["tags"] = [t for t in entry["consumer"]["tags"] if not t.startswith("plan:")]
    assert parsed(entry).rejected[0].reason == "no usable plan tag"


def test_entries_of_other_gateway_users_are_dropped_and_counted() -> None:
    foreign = an_entry() | {
        "service": {"id": "x", "tags": ["demo"]},
        "route": None,
        "consumer": {"custom_id": "cust-1"},
    }
    empty = an_entry() | {"service": {"tags": {}}, "route": {"tags": {}}, "consumer": {"tags": {}}}
    other_marketplace = json.loads(json.dumps(an_entry()).replace(f"ns:{NAMESPACE}", "ns:elsewhere"))
    result = parsed(foreign, empty, other_marketplace)
    assert (result.foreign, result.entries, result.rejected) == (3, [], [])


def test_calls_are_routed_by_subscription_and_without_one_by_api() -> None:
    assert parsed(an_entry()).entries[0][0] == SUBSCRIPTION
    assert parsed(an_entry(consumer=False, status=401, source="kong")).entries[0][0] == API
    assert partition_of(SUBSCRIPTION, 4) == partition_of(SUBSCRIPTION, 4) < 4


@pytest.mark.parametrize(
    ("value", "status"),
    [("200", 200), ("502, 200", 200), ("502, 502, 502", 502), ("", 0), (None, 0), ("-", 0), ("404", 404), (503, 503),
     ("502 : 200", 200), ("²00", 0), ("099", 0)],
)  # fmt: skip
def test_the_last_try_decides_the_upstream_status(value: str | int | None, status: int) -> None:
    assert last_status(value) == status


@pytest.mark.parametrize("spoiled", [b"\xff\xfe", b"\\ud800", b"\x00", b"nan"])
def test_bytes_that_are_no_text_spoil_at_most_their_own_entry(spoiled: bytes) -> None:
    body = json.dumps([an_entry(1, path="/acme/pay/v1/HERE"), an_entry(2)]).encode().replace(b"HERE", spoiled)
    ids = [entry.request.id for _, entry in parse(body, namespace=NAMESPACE).entries]
    assert (
        request_id(2) in ids or spoiled == b"\x00"
    )  # a bare control character is no JSON: nobody can say where it ends


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"[", b'{"a":', b"\xff\xfe", b"[" * 100_000, b"null", b"1", b"[1]"]
)
def test_a_body_that_is_no_log_is_one_rejection(body: bytes) -> None:
    result = parse(body, namespace=NAMESPACE)
    assert (len(result.rejected), result.entries) == (1, [])


@given(st.binary(max_size=300))
def test_no_body_raises(body: bytes) -> None:
    parse(body, namespace=NAMESPACE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(an_entry())), json_values)
def test_any_field_may_be_anything_and_what_passes_can_be_read_again(name: str, value: Any) -> None:
    result = parsed(an_entry(1) | {name: value}, an_entry(2))
    assert len(result.entries) + result.foreign >= 1
    entries = [entry for _, entry in result.entries]
    value = envelope(entries)
    assert msgspec.json.decode(value, type=list[Entry]) == entries
    assert [attribute_stored(e.parties).routing_key for e in read_envelope(value)[0]] == [
        key for key, _ in result.entries
    ]


RECORDINGS = os.environ.get("MARKETPLACE_KONG_RECORDINGS")  # noqa: TID251


@pytest.mark.skipif(not RECORDINGS, reason="MARKETPLACE_KONG_RECORDINGS is not set")
def test_what_a_real_kong_posted_is_read() -> None:
    paths = sorted(Path(RECORDINGS or "").glob("*httplog*.json"))
    bodies = [b for b in (json.loads(p.read_text())["request"].get("body") for p in paths) if b]
    read = [b for b in bodies if b.lstrip().startswith(("[", '{"')) and '"started_at"' in b]
    assert len(read) > 20
    for body in read:
        result = parse(body.encode(), namespace=NAMESPACE)
        assert not result.rejected
        assert result.foreign >= 1


def test_numbers_written_by_lua_as_floats_are_whole() -> None:
    entry = an_entry(latencies={"request": 9.7, "proxy": 3.0, "kong": 6.2})
    entry["response"]["size"] = 406.0
    stripped = parsed(entry).entries[0][1]
    assert (stripped.latencies.request, stripped.response.size) == (9, 406)
    assert msgspec.json.encode(stripped.started_at).isdigit()
