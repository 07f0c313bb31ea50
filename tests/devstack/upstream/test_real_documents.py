"""Every operation of real public documents can be answered. Give a folder of them to run this."""

import json
import os
from pathlib import Path

import pytest

from devstack.upstream.documents import load_document
from devstack.upstream.examples import example_answer

FOLDER = os.environ.get("MARKETPLACE_OPENAPI_DOCUMENTS")  # noqa: TID251 - tests are told where recordings lie

pytestmark = pytest.mark.skipif(not FOLDER, reason="MARKETPLACE_OPENAPI_DOCUMENTS is not set")


@pytest.mark.parametrize(
    "path", sorted(Path(FOLDER or "/nonexistent").glob("*.json")), ids=lambda path: path.stem
)
def test_every_operation_has_an_answer_and_is_found_by_its_path(path: Path) -> None:
    document = load_document(path)
    for operation in document.operations:
        answer = example_answer(document, operation)
        assert 200 <= answer.status < 300
        if "json" in answer.content_type:
            json.loads(answer.body)
        concrete = operation.template.replace("{", "x").replace("}", "x")
        assert document.find(operation.method, concrete)
