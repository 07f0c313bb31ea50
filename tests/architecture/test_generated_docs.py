"""The generated pages tell what the code says now, and leave nothing out."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from prometheus_client import Counter

from docs import generate
from tests.architecture.repository import LIBRARY, SERVICES, python_files, shown, tree_of
from tests.architecture.rules import nodes

METRIC_TYPES = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}


@pytest.mark.parametrize(
    ("name", "page"), [("events.md", generate.events_page), ("metrics.md", generate.metrics_page)]
)
def test_a_page_is_up_to_date(name: str, page: object) -> None:
    assert callable(page)
    committed = (generate.DOCS / name).read_text(encoding="utf-8")
    assert committed == page(), f"docs/{name} is out of date: run `make docs`"


def made_elsewhere(path: Path, tree: ast.Module) -> list[str]:
    """Metrics that are made outside of a metrics.py, where the page would not see them."""
    if path.name == "metrics.py":
        return []
    calls = (node for node in nodes(tree) if isinstance(node, ast.Call))
    imported = {
        alias.asname or alias.name
        for node in nodes(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        for alias in node.names
    }
    return [
        f"{shown(path)}:{call.lineno}: makes a metric"
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in METRIC_TYPES & imported
    ]


def test_every_metric_is_made_where_the_page_looks() -> None:
    found = [m for p in python_files(LIBRARY, *SERVICES.values()) for m in made_elsewhere(p, tree_of(p))]
    assert "\n".join(found) == ""
    bad = ast.parse("from prometheus_client import Counter\nx = Counter('x', 'y')")
    assert made_elsewhere(Path("use.py"), bad)
    assert not made_elsewhere(Path("use.py"), ast.parse("from collections import Counter\nx = Counter()"))


def test_metrics_are_named_after_their_service_and_explained() -> None:
    assert generate.metric_line(
        "sample", Counter("sample_things_total", "Things.", ["how"], registry=None)
    ) == ("| `sample_things_total` | counter | `how` | Things. | sample |")
    for service in SERVICES:
        for metric in generate.metrics_of(f"{service}.metrics"):
            assert generate.metric_name(metric).startswith(f"{service}_")
            assert metric._documentation.endswith(".")


def test_every_event_of_every_service_is_on_the_page() -> None:
    page = generate.events_page()
    declared = [
        str(keyword.value.value)
        for path in python_files(*(service / "events" for service in SERVICES.values()))
        for node in nodes(tree_of(path))
        if isinstance(node, ast.ClassDef)
        for keyword in node.keywords
        if keyword.arg == "topic" and isinstance(keyword.value, ast.Constant)
    ]
    assert len(declared) > 10
    assert [topic for topic in declared if f"## `{topic}`" not in page] == []
