"""The compiled reader against `read_batch`, which is the rule: the same bytes, the same sums, the same refusals."""

from __future__ import annotations

import ctypes.util
import json
import random
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.clients import fast_reader
from metering.clients.fast_reader import FastReader, batch_reader, library
from metering.domain.batch import Added, Batch, Record, add_up, read_batch
from metering.domain.call import Call, Version
from metering.domain.lateness import CLOCK_SKEW, LATEST_ARRIVAL
from metering.domain.matcher import Endpoint, Matcher
from metering.domain.pack import pack_calls
from metering.domain.parse_log import envelope, parse
from tests.metering.factories import API, AT, CONSUMER_ORG, KEY, NAMESPACE, VERSION, an_entry, ms

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
PATHS = (
    "/", "/things", "/things/{id}", "/things/mine", "/files/{name}.json", "/files/{name}", "/{a}-{b}/{c}",
    "/{a}{b}", "/ünï/{id}", "/x/{y", "/{x}/y/z", "/things/{id}/parts/{part}.{kind}",
)  # fmt: skip
ENDPOINTS = [
    Endpoint(f"01930000-0000-7000-8000-0000000001{n:02x}", method, path, n)
    for n, (method, path) in enumerate(
        [*(("GET", path) for path in PATHS), ("POST", "/things"), ("head", "/")]
    )
]
VERSIONS = {VERSION: Version("v1", Matcher(ENDPOINTS))}


@pytest.fixture(scope="module")
def fast() -> FastReader:
    found = library()
    if found is None:
        assert shutil.which("cargo") is None, "cargo is there, but services/metering/native was not built"
        pytest.skip("the compiled reader is built where cargo is")
    return FastReader(found)


@pytest.fixture
def anew(fast: FastReader) -> FastReader:
    return FastReader(fast._library)


def stored(entries: Iterable[dict[str, Any]]) -> list[Any]:
    """The entries as ingest writes them."""
    parsed = parse(json.dumps(list(entries)).encode(), namespace=NAMESPACE, country_of=lambda _: "CH")
    assert not parsed.rejected
    return [entry for _, entry in parsed.entries]


def records_of(*values: bytes) -> list[Record]:
    return [Record(0, offset, ms(NOW), value) for offset, value in enumerate(values)]


def joined(added: Added) -> tuple[Any, ...]:
    return added.calls, b"".join(added.deltas), added.days


def late(batch: Batch) -> list[Any]:
    return sorted((msgspec.json.encode(item.entry), item.received_at, item.reason) for item in batch.late)


def by_start(calls: Iterable[Call]) -> list[Call]:
    return sorted(calls, key=lambda call: (call.started_ms, call.request_id, repr(call)))


def agree(fast: FastReader, records: Sequence[Record], **more: Any) -> Batch:
    """Both read `records` alike; what the fast one made of them."""
    expected, found = read_batch(records, VERSIONS, **more), fast.read_batch(records, VERSIONS, **more)
    plain: Sequence[Call] = ()
    if found.packed is not None:
        plain = found.packed.again()
        assert b"".join(found.packed.rows()) == b"".join(pack_calls(plain))
        assert joined(found.packed.added) == joined(add_up(plain))
        starts = [call.started_ms for call in plain]
        assert found.packed.between_ms == (min(starts), max(starts))
        assert found.packed.calls == len(plain)
    assert by_start([*plain, *found.calls]) == by_start(expected.calls)
    assert late(found) == late(expected)
    assert sorted(map(repr, found.poison)) == sorted(map(repr, expected.poison))
    return found


NOISE = (
    b"", b"\xff", b'"', b"\\", b"\\u0000", b"9", b"0", b"-", b".5", b"e3", b"{", b"]", b",", b":", b" ", b"null",
    b"\xc3\xa4", b"\x1f",
)  # fmt: skip
texts = st.text('/aäb.%2fF{}~\\"\x00\n€ -json', max_size=12)
some_paths = st.one_of(
    st.sampled_from([path.replace("{", "").replace("}", "") for path in PATHS]),
    st.builds("/acme/pay/v1/{}".format, texts),
    st.builds("/acme/pay/v1{}".format, st.sampled_from(PATHS)),
    st.builds("/acme/pay/{}".format, texts),
    texts,
)
some_entries = st.builds(
    an_entry,
    st.integers(0, 40),
    at=st.timedeltas(-LATEST_ARRIVAL - timedelta(seconds=1), CLOCK_SKEW + timedelta(seconds=1)).map(NOW.__add__)
    | st.just(AT),
    status=st.sampled_from([200, 301, 400, 401, 403, 404, 429, 500, 503]),
    source=st.sampled_from(["upstream", "exit"]),
    upstream_status=st.sampled_from(["200", "404", "500", "502, 200", "", "nonsense"]),
    consumer=st.booleans(),
    mode=st.sampled_from(["live", "test"]),
    path=some_paths,
    method=st.sampled_from(["GET", "HEAD", "POST", "get"]),
    client_ip=st.sampled_from(["203.0.113.7", "2001:db8::1", "none"]),
    usage_units=st.none() | st.integers(0, 10**12),
    latencies=st.fixed_dictionaries(
        {"request": st.integers(-1, 4_000_000), "proxy": st.integers(-1, 9), "kong": st.integers(0, 9)}
    ),
)  # fmt: skip


@given(st.lists(some_entries, min_size=1, max_size=8), st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_what_ingest_writes_is_read_alike(fast: FastReader, entries: list[dict[str, Any]], days: int) -> None:
    kept = stored(entries)
    records = records_of(envelope(kept[:3]), *(envelope([entry]) for entry in kept[3:]))
    agree(fast, records, nets_from=NOW - timedelta(days=days))


@given(st.integers(0, 2**32), st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_what_is_not_as_ingest_writes_it_is_read_alike(fast: FastReader, seed: int, changes: int) -> None:
    chosen = random.Random(seed)
    value = bytearray(envelope(stored([an_entry(1, usage_units=3), an_entry(2, status=503)])))
    for _ in range(changes):
        at = chosen.randrange(len(value))
        value[at : at + chosen.choice((0, 1, 1, 9))] = chosen.choice(NOISE)
    agree(fast, records_of(bytes(value), b"[]", b""))


@given(st.sampled_from(PATHS), texts, texts, st.sampled_from(["GET", "HEAD", "POST"]))
@settings(max_examples=300, deadline=None)
def test_endpoints_are_found_alike(fast: FastReader, template: str, one: str, two: str, method: str) -> None:
    path = template.replace("{", one, 1).replace("}", two, 1)
    entries = stored([an_entry(1, path=f"/acme/pay/v1{path}", method=method)])
    agree(fast, records_of(envelope(entries)))


def test_all_that_ingest_writes_of_plain_calls_is_packed(fast: FastReader) -> None:
    entries = [
        an_entry(1), an_entry(2, consumer=False), an_entry(3, status=429, source="exit", upstream_status=""),
        an_entry(4, path="/acme/pay/v1/files/%C3%A4.json"), an_entry(5, mode="test", usage_units=7),
    ]  # fmt: skip
    found = agree(fast, records_of(envelope(stored(entries))))
    assert found.calls == []
    assert found.packed is not None
    assert found.packed.calls == 5


@pytest.mark.parametrize(
    "change",
    [
        {"started_at": 1.5}, {"started_at": ms(NOW) - 46 * 86_400_000}, {"request": {"id": "a", "size": -1}},
        {"request": {"id": "a", "size": 10**13}}, {"response": {"status": 1_000}}, {"response": {}},
        {"upstream_status": "502, 200"}, {"upstream_status": None}, {"usage_units": None}, {"unheard": 1},
        {"latencies": {"request": 86_400_000}}, {"service": "none"}, {"country": None},
        {"consumer": {"custom_id": "x"}},
        {"service": {"tags": ['quoted " tag']}}, {"source": 'a"b'}, {"latencies": {}}, {"client_net": 7},
    ],
)  # fmt: skip
def test_odd_values_are_left_to_python_or_read_alike(fast: FastReader, change: dict[str, Any]) -> None:
    [entry] = json.loads(envelope(stored([an_entry(1)])))
    agree(fast, records_of(json.dumps([entry | change]).encode(), json.dumps([entry], indent=1).encode()))


def test_a_field_that_comes_twice_is_left_to_python(fast: FastReader) -> None:
    value = envelope(stored([an_entry(1)]))
    found = agree(fast, records_of(value.replace(b'"response":', b'"response":{"status":500},"response":')))
    assert (found.packed, [call.status for call in found.calls]) == (None, [200])


def test_terms_of_counting_are_those_of_the_tags(fast: FastReader) -> None:
    [entry] = json.loads(envelope(stored([an_entry(1, status=404, upstream_status="404", usage_units=900)])))
    values = []
    for tags in ([], ["counts:2xx.404"], ["counts:2xx"], ["cap:5"], ["cap:5", "counts:4xx"], ["cap:x"]):
        changed = json.loads(json.dumps(entry))
        changed["consumer"]["tags"] += tags
        values.append(json.dumps([changed]).encode())
    found = agree(fast, records_of(*values))
    assert found.packed is not None
    assert [(call.billable, call.units) for call in found.packed.again()] == [
        (True, 900), (True, 900), (False, 0), (True, 5), (True, 5)
    ]  # fmt: skip
    assert len(found.poison) == 1


def test_a_version_that_changes_is_read_as_it_is_then(anew: FastReader) -> None:
    records = records_of(envelope(stored([an_entry(1, path="/acme/pay/v1/things/7")])))
    weights = []
    for known in ({}, VERSIONS, {VERSION: Version("v1", Matcher([Endpoint(KEY, "GET", "/{all}/{ids}", 8)]))}):
        found = anew.read_batch(records, known)
        assert found.packed is not None
        assert b"".join(found.packed.rows()) == b"".join(pack_calls(read_batch(records, known).calls))
        [day] = found.packed.added.days.values()
        weights.append(day.units)
    assert weights == [1, 2, 8]


def test_what_was_read_outlives_the_reader(fast: FastReader) -> None:
    records = records_of(*(envelope(stored(an_entry(n) for n in range(500))) for _ in range(4)))
    batch = FastReader(fast._library).read_batch(records, VERSIONS)
    fast.read_batch(records, VERSIONS)
    assert batch.packed is not None
    assert b"".join(batch.packed.rows()) == b"".join(pack_calls(batch.packed.again()))


def test_what_was_known_is_forgotten_when_it_is_too_much(
    fast: FastReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_reader, "_MOST_PARTIES", 2)
    before = fast._known
    for number in range(4):
        organisation = CONSUMER_ORG[:-1] + f"{number:x}"
        agree(fast, records_of(envelope(stored([an_entry(1, org=organisation, api=API)]))))
    assert fast._known is not before
    assert len(fast._known.parties) <= 3


def test_where_it_was_not_built_python_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(fast_reader, "LIBRARY", tmp_path / "nothing.so")
    library.cache_clear()
    try:
        assert batch_reader(None) is read_batch
        assert batch_reader(False) is read_batch
        with pytest.raises(RuntimeError, match="was not built"):
            batch_reader(True)
    finally:
        monkeypatch.undo()
        library.cache_clear()


def test_a_library_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_reader, "LIBRARY", ctypes.util.find_library("c") or "libc.so.6")
    library.cache_clear()
    try:
        assert library() is None
    finally:
        monkeypatch.undo()
        library.cache_clear()
