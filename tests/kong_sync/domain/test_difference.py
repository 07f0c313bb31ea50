"""What an operator is shown of a difference: enough to recognise it, and never a key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kong_sync.domain.diff import diff
from kong_sync.domain.difference import Difference, compare, differences_of
from kong_sync.domain.entities import Entity, Kind
from tests.kong_sync.factories import a_key, as_kong_returns, of_kind, plugin, wanted


def with_fields(entity: Entity, **fields: Any) -> Entity:
    return replace(entity, fields={**entity.fields, **fields})


def test_an_update_shows_the_path_and_both_values() -> None:
    entities = wanted()
    (service,) = of_kind(entities, Kind.SERVICE, "api")
    present = [
        as_kong_returns(with_fields(e, read_timeout=1, host="evil.example") if e is service else e)
        for e in entities
    ]
    (change,) = diff(entities, present)
    assert differences_of(change) == (
        Difference("host", wanted="pay.acme.example", found="evil.example"),
        Difference("read_timeout", wanted=60_000, found=1),
    )
    assert str(differences_of(change)[1]) == "read_timeout: 1 -> 60000"


def test_what_is_created_or_removed_has_no_fields() -> None:
    changes = diff(wanted(), []) + diff([], wanted())
    assert {differences_of(change) for change in changes} == {()}


def test_a_digest_is_never_shown_whole() -> None:
    (credential,) = of_kind(wanted(), Kind.CREDENTIAL, "subscription")
    other = "f" * 64
    (found,) = compare(credential, {**credential.fields, "key": other})
    assert found.path == "key"
    assert found.wanted == f"{a_key().sha256[:6]}…"
    assert found.found == "ffffff…"


@pytest.mark.parametrize(
    ("name", "path", "value", "shown"),
    [
        ("http-log", "headers", {"X-Ingest-Token": "s3cret-in-clear"}, '{"X-Ingest-Token": "s3cret…"}'),
        (
            "http-log",
            "headers",
            {"X-Ingest-Token": "{vault://env/x}"},
            '{"X-Ingest-Token": "{vault://env/x}"}',
        ),
        ("http-log", "headers", {"X-Api-Key": "s3cret-in-clear"}, '{"X-Api-Key": "s3cret…"}'),
        ("http-log", "headers", ["Authorization: Bearer s3cret-in-clear"], '["Authorization:…"]'),
        ("http-log", "timeout", 1, 1),
        ("http-log", "timeout", None, None),
    ],
)
def test_a_secret_that_somebody_wrote_there_is_not_repeated(
    name: str, path: str, value: Any, shown: Any
) -> None:
    wish = plugin(wanted(), name, "api")
    if path == "headers":
        wish = with_fields(wish, config={**wish.fields["config"], "headers": {}})
    found = {**wish.fields, "config": {**wish.fields["config"], path: value}}
    (difference,) = compare(wish, found)
    assert (difference.path, difference.found) == (f"config.{path}", shown)


def test_long_texts_are_cut_and_still_told_apart() -> None:
    wish = plugin(wanted(), "post-function", "api")
    wish = with_fields(wish, config={**wish.fields["config"], "access": ["x" * 500 + "a"]})
    found = {**wish.fields, "config": {**wish.fields["config"], "access": ["x" * 500 + "b"]}}
    (difference,) = compare(wish, found)
    assert difference.wanted != difference.found
    assert max(len(str(difference.wanted)), len(str(difference.found))) < 170
