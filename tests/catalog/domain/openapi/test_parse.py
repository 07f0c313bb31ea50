import time
from typing import Any

import pytest

from catalog.domain.errors import DocumentTooComplex, DocumentTooLarge, DocumentUnreadable
from catalog.domain.openapi.limits import Limits
from catalog.domain.openapi.parse import parse
from catalog.domain.openapi.yaml_tree import yaml_tree

LIMITS = Limits()


def parsed(text: str | bytes, content_type: str = "", **limits: int) -> dict[str, Any]:
    raw = text.encode() if isinstance(text, str) else text
    return parse(raw, content_type=content_type, limits=Limits(**limits))


def test_json_is_told_by_its_first_character_or_its_type() -> None:
    assert parsed('{"a": 1}') == parsed('  {"a": 1}', "application/json") == {"a": 1}


def test_json_sent_as_yaml_is_yaml_too() -> None:
    assert parsed('{"a": [1, "x"]}', "application/yaml") == {"a": [1, "x"]}


def test_a_byte_order_mark_is_no_text() -> None:
    assert parsed(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", '"x"', "7", "null", "{", '{"a": NaN}', '{"a": Infinity}', '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}",
        "a: b: c", "a: [", "\t- x", "a: *none", "a: 1\n---\nb: 2", "? [a]\n: 1", "<<: 7\na: 1", "a: &x {b: *x}",
        "# only a comment", "@",
    ],
)  # fmt: skip
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(DocumentUnreadable):
        parsed(text)


def test_what_is_not_utf_8_is_refused() -> None:
    with pytest.raises(DocumentUnreadable, match="UTF-8"):
        parsed(b'{"a": "\xff"}')


def test_the_place_of_a_mistake_is_told() -> None:
    with pytest.raises(DocumentUnreadable, match="line 2"):
        parsed('{"a": 1,\n oops}')
    with pytest.raises(DocumentUnreadable, match="line 3"):
        parsed("a: 1\nb: [1,\n", "application/yaml")


def test_too_many_bytes_are_refused_before_they_are_read() -> None:
    with pytest.raises(DocumentTooLarge):
        parsed('{"a": "' + "x" * 100 + '"}', max_bytes=50)


@pytest.mark.parametrize("depth", [101, 5_000, 200_000])
def test_depth_is_refused_in_both_languages(depth: int) -> None:
    for text in ('{"a":' * depth + "1" + "}" * depth, "a: " + "[" * depth + "]" * depth):
        with pytest.raises((DocumentTooComplex, DocumentUnreadable)):
            parsed(text)


def test_too_many_values_are_refused() -> None:
    for text in ('{"a": [' + ",".join("1" * 101) + "]}", "a:\n" + "- 1\n" * 101):
        with pytest.raises(DocumentTooComplex):
            parsed(text, max_nodes=100)


def test_aliases_that_unfold_into_billions_are_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    started = time.perf_counter()
    with pytest.raises(DocumentTooComplex, match="unfolds"):
        parsed("\n".join(lines))
    assert time.perf_counter() - started < 2


def test_merges_that_unfold_are_counted_too() -> None:
    base = "base: &base {" + ", ".join(f"k{n}: 1" for n in range(100)) + "}\n"
    with pytest.raises(DocumentTooComplex):
        parsed(base + "".join(f"m{n}:\n  <<: *base\n" for n in range(20)), max_nodes=1_000)


def test_aliases_in_reason_are_followed() -> None:
    assert parsed("a: &x {b: 1}\nc: *x\nd: [*x, *x]") == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": [{"b": 1}, {"b": 1}],
    }


def test_merge_keys_bring_what_is_not_there_yet() -> None:
    text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nuse:\n  <<: [*b, *m]\n  x: 9"
    assert parsed(text)["use"] == {"x": 9, "y": 2, "z": 4}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("true", True), ("False", False), ("null", None), ("~", None),
        ("", None), ("1", 1), ("-7", -7), ("1.5", 1.5), ("1e3", 1000.0), ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"), ("0x1F", "0x1F"), ("1_000", "1_000"), ("'1'", "1"), ('"true"', "true"),
        (".inf", ".inf"), ("1e999", "1e999"), ("!!python/object:os.system x", "x"), ("!!str 7", "7"), ("007", 7),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)  # fmt: skip
def test_yaml_scalars_mean_what_json_would_say(text: str, value: object) -> None:
    assert yaml_tree(f"a: {text}", limits=LIMITS) == {"a": value}


def test_yaml_keys_are_text() -> None:
    assert yaml_tree("200: a\ntrue: b\n1.5: c\nnull: d", limits=LIMITS) == {
        "200": "a", "true": "b", "1.5": "c", "null": "d",
    }  # fmt: skip
