"""Documents of public APIs as their providers wrote them: each is taken, or refused for a reason."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.domain.openapi.document import read_document
from common.errors import DomainError

FOLDER = os.environ.get("MARKETPLACE_OPENAPI_DOCUMENTS")  # noqa: TID251 - recorded data, by name of its folder


@pytest.mark.skipif(not FOLDER, reason="MARKETPLACE_OPENAPI_DOCUMENTS names no folder")
def test_nearly_all_are_taken_and_quickly(record_property: Callable[[str, object], None]) -> None:
    taken, refused = 0, Counter[str]()
    slowest = 0.0
    for path in sorted(Path(str(FOLDER)).glob("*.json")):
        started = time.perf_counter()
        try:
            document = read_document(path.read_bytes())
        except DomainError as error:
            refused[error.code] += 1
        else:
            taken += 1
            assert document.operations
            assert len({(o.method, o.path) for o in document.operations}) == len(document.operations)
        slowest = max(slowest, time.perf_counter() - started)
    record_property("taken", taken)
    record_property("refused", dict(refused))
    assert taken > 0
    assert set(refused) <= {"OPENAPI_NO_OPERATIONS", "OPENAPI_VERSION_UNSUPPORTED"}
    assert taken / (taken + refused.total()) > 0.95
    assert slowest < 5
