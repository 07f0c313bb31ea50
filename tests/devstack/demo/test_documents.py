"""What `--openapi` takes, and one shape of facts however the story ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devstack.demo.command import broke_off, facts
from devstack.demo.documents import SAMPLE, media_type, operations

DOCUMENT = {
    "openapi": "3.0.3",
    "paths": {
        "/pets/{id}": {"get": {"responses": {}}},
        "/pets": {"post": {"responses": {}}},
        "/search": {"get": {"requestBody": {"content": {}}}},
    },
}
YAML = "openapi: 3.0.3\npaths:\n  /pets/{id}:\n    get: {responses: {}}\n"


def test_the_media_type_follows_the_content() -> None:
    assert media_type(json.dumps(DOCUMENT).encode()) == "application/json"
    assert media_type(YAML.encode()) == "application/yaml"


@pytest.mark.parametrize("content", [json.dumps(DOCUMENT), YAML])
def test_only_simple_reads_are_called(tmp_path: Path, content: str) -> None:
    document = tmp_path / "document"
    document.write_text(content)
    assert operations(document) == [("GET", "/pets/1", None)]
    assert operations(None) == SAMPLE


@pytest.mark.parametrize(
    "content", ["", "[1]", "{", "paths: 7", "paths: {}", "paths: {/a: {get: }}", "\t- ["]
)
def test_a_file_without_anything_to_call_is_refused(tmp_path: Path, content: str) -> None:
    document = tmp_path / "document"
    document.write_text(content)
    with pytest.raises(ValueError, match="document"):
        operations(document)


def test_facts_have_one_shape() -> None:
    broken = facts(differences=["the stack did not start"])
    assert not broken["ok"]
    assert broken["invoice"] is None
    assert set(broken) == set(facts(differences=[], invoice={}, kills=[]))


def test_what_a_task_group_wraps_is_told() -> None:
    assert "KeyError: 'plan'" in broke_off(ExceptionGroup("tasks", [KeyError("plan"), ValueError("no")]))
