"""The chaos demo on a real Apache Kafka, which is killed too. It keeps its log, so nothing may be lost there either."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack import kafka_apache
from tests.e2e.conftest import Stack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def why_not() -> str | None:
    return kafka_apache.available(Path.home() / ".cache" / "marketplace")


def test_killing_any_one_process_the_broker_too_loses_and_doubles_nothing(
    why_not: str | None, tmp_path: Path
) -> None:
    if why_not:
        pytest.skip(f"no Apache Kafka here: {why_not}")
    stack = Stack(tmp_path / ".run")
    try:
        stack.must("up", "--detach", "--broker", "apache")
        facts = stack.demo("--chaos", "--seed", "11")
        assert "kafka" in {kill["process"] for kill in facts["kills"]}
        assert all(kill["in_flight"] > 0 for kill in facts["kills"])
    finally:
        stack.command("reset")
