"""Whatever the Admin API is told, it answers in Kong's words, and what it took can be read, changed and removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devstack.kong.admin.bodies import read_arguments
from devstack.kong.admin.collections import Collections, shown
from devstack.kong.admin.errors import Refused
from devstack.kong.entities import ENTITIES
from devstack.kong.fields import Field
from devstack.kong.plugin_schemas import CONFIGS
from devstack.kong.router import Router
from devstack.kong.store import Store

in_memory = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
WORDS = st.sampled_from(
    ["", "a", "/a", "~/a", "~/(", "//", "a:80", "http://h:99999/x", "é", "a\x00b", "*.a", "GET", "-1"]
)
LEAF = st.none() | st.booleans() | st.integers(-2, 70000) | st.floats(allow_nan=False) | WORDS
ANYTHING = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2)
)


def value_of(spec: Field) -> st.SearchStrategy[Any]:
    """Often of the right kind, sometimes anything."""
    right: st.SearchStrategy[Any] = ANYTHING
    if spec.one_of:
        right = st.sampled_from(list(spec.one_of))
    elif spec.kind == "boolean":
        right = st.booleans()
    elif spec.kind in ("integer", "number"):
        right = st.integers(-1, 70000)
    elif spec.kind == "string":
        right = WORDS
    elif spec.kind in ("array", "set"):
        right = st.lists(WORDS, max_size=3)
    elif spec.kind == "record":
        right = st.deferred(lambda: record_of(spec.fields))
    elif spec.kind == "foreign":
        right = st.fixed_dictionaries({}, optional={"id": ANYTHING, "name": ANYTHING, "username": ANYTHING})
    return right | right | ANYTHING


def record_of(fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    if not fields:
        return st.just({})
    return st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: value_of(fields[name]) for name in names})
    )


KINDS = st.sampled_from(sorted(ENTITIES))
WHAT = KINDS.flatmap(lambda kind: st.tuples(st.just(kind), record_of(ENTITIES[kind].fields)))
PLUGIN = st.sampled_from(sorted(CONFIGS)).flatmap(
    lambda name: st.tuples(
        st.just("plugins"),
        st.fixed_dictionaries({"name": st.just(name), "config": record_of(CONFIGS[name]) | ANYTHING}),
    )
)


@pytest.fixture
def collections(tmp_path: Path) -> Collections:
    return Collections(Store(tmp_path))


def answered(call: Any) -> Any:
    """What a call gave, or None when it was refused, in words that can be sent."""
    refused = None
    try:
        return call()
    except Refused as refusal:
        refused = refusal
    assert refused.status in (400, 404, 409, 501)
    json.dumps(refused.body).encode()
    return None


@in_memory
@given(made=WHAT | PLUGIN, change=record_of(ENTITIES["services"].fields), url=ANYTHING)
@example(made=("routes", {"paths": ["/a"], "service": {"name": ["x"]}}), change={}, url=None)
@example(made=("plugins", {"name": ["x"]}), change={}, url=None)
@example(made=("upstreams", {"name": "a", "healthchecks": {"active": 1}}), change={}, url={"a": 1})
def test_nothing_is_beyond_an_answer(
    collections: Collections, made: tuple[str, dict[str, Any]], change: dict[str, Any], url: Any
) -> None:
    kind, given = made
    if kind == "services":
        given = {"url": url} | given
    entity = answered(lambda: collections.create(kind, given))
    if entity is None:
        return
    json.dumps(shown(kind, entity)).encode()
    assert collections.find(kind, entity["id"]) == entity
    answered(lambda: collections.update(kind, entity, change))
    answered(lambda: collections.upsert(kind, entity["id"], given))
    if kind == "routes":
        Router([collections.find(kind, entity["id"])])
    collections.delete(kind, entity["id"])
    assert entity["id"] not in {each["id"] for each in collections.page(kind, {"size": "1000"}, "/x")["data"]}


@given(
    content_type=st.sampled_from(
        [
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
        ]
    ),
    raw=st.binary(max_size=60)
    | st.lists(
        st.sampled_from([b"a", b".", b"[1]", b"[]", b"=", b"&", b"%", b"{", b'"', b"--x\r\n", b"\r\n\r\n"])
    ).map(b"".join),
)
@example(content_type="application/x-www-form-urlencoded", raw=b"a=1&a.b=2&a[]=3&a[].c=4&a=5")
def test_no_body_is_beyond_an_answer(content_type: str, raw: bytes) -> None:
    answered(lambda: read_arguments(content_type, raw))
