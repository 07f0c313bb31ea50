"""Every rule holds in what is shipped, and every rule can fail."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.architecture import rules
from tests.architecture.repository import (
    DEVSTACK,
    LIBRARY,
    ROOT,
    SERVICES,
    python_files,
    shown,
    source_files,
    tree_of,
)

Rule = Callable[[ast.Module], Iterator[str]]
SHARED_CODE_LINES = 2000
ROOMS = ("api", "consumers", "usecases", "db", "clients", "events", "domain")
DOORS = (
    "__init__.py",
    "main.py",
    "worker.py",
    "cli.py",
    "settings.py",
    "metrics.py",
    "py.typed",
    "db/tables.py",
)


def broken(rule: Rule, files: Iterable[Path]) -> str:
    """Where `rule` is broken, a line each: shown whole by the assertion that it is empty."""
    return "\n".join(f"{shown(path)}:{found}" for path in files for found in rule(tree_of(path)))


def refuses(rule: Rule, *texts: str) -> None:
    for text in texts:
        assert list(rule(ast.parse(text))), f"the rule does not see: {text}"


def accepts(rule: Rule, *texts: str) -> None:
    for text in texts:
        assert list(rule(ast.parse(text))) == []


def services() -> list[Path]:
    return python_files(*SERVICES.values())


def test_only_the_database_module_commits() -> None:
    may = {LIBRARY / "db.py", LIBRARY / "migrations.py"}
    assert broken(rules.no_commit, [p for p in (*services(), *python_files(LIBRARY)) if p not in may]) == ""
    refuses(rules.no_commit, "await session.commit()", "async def f(c):\n    await c.commit({})")
    accepts(rules.no_commit, "async with db.begin() as session: pass")


def test_a_function_takes_a_session_or_the_database() -> None:
    assert broken(rules.session_or_database, [*services(), *python_files(LIBRARY)]) == ""
    refuses(rules.session_or_database, "def f(session, db): ...", "async def f(session, *, x, db): ...")
    accepts(rules.session_or_database, "def f(session): ...\ndef g(db): ...")


def test_money_never_meets_a_float() -> None:
    assert broken(rules.no_float, python_files(SERVICES["billing"] / "domain")) == ""
    refuses(rules.no_float, "x = 0.5", "x: float", "float('1')", "round(x)", "def f(x: list[float]): ...")
    accepts(rules.no_float, "x = Decimal('0.5')", "round_half_up(x)")


def test_a_use_case_is_named_after_its_file() -> None:
    found = []
    for path in python_files(*(service / "usecases" for service in SERVICES.values())):
        if path.name != "__init__.py":
            found += [
                f"{shown(path)}:{wrong}" for wrong in rules.one_public_function(tree_of(path), path.stem)
            ]
    assert "\n".join(found) == ""

    def pay(tree: ast.Module) -> Iterator[str]:
        return rules.one_public_function(tree, "pay")

    refuses(pay, "", "def other(): ...", "def pay(): ...\ndef other(): ...", "def _pay(): ...")
    refuses(pay, "class Rule: ...\ndef pay(): ...")
    accepts(pay, "@dataclass(frozen=True)\nclass Paid: ...\nasync def pay(): ...\ndef _helper(): ...")


def test_functions_are_short() -> None:
    assert broken(rules.short_functions, source_files()) == ""
    body = "    pass\n" * (rules.FUNCTION_LINES - 1)
    accepts(rules.short_functions, f"def f():\n{body}", f"def f():\n    '''Long\n\n    story.'''\n{body}")
    refuses(
        rules.short_functions, f"def f():\n{body}    pass", f"class C:\n  async def f(self):\n{body}    pass"
    )


def test_files_are_short() -> None:
    found = []
    for path in source_files():
        limit = rules.SHARED_FILE_LINES if path.is_relative_to(LIBRARY) else rules.FILE_LINES
        found += [f"{shown(path)}:{wrong}" for wrong in rules.short_file(path.read_text("utf-8"), limit)]
    assert "\n".join(found) == ""
    assert list(rules.short_file("x\n" * 401, 400))
    assert not list(rules.short_file("x\n" * 400, 400))


def test_the_shared_library_stays_small() -> None:
    """Its budget and the reason for it: docs/decisions."""
    assert (
        sum(rules.code_lines(path.read_text("utf-8")) for path in python_files(LIBRARY)) <= SHARED_CODE_LINES
    )
    assert rules.code_lines('"""Doc\n\nmore."""\n\n# why\nx = 1\ndef f():\n    """D."""\n    return x\n') == 3


def test_nothing_is_mocked() -> None:
    files = [*source_files(), *(p for p in python_files(ROOT / "tests") if p != Path(__file__))]
    assert broken(rules.no_mock, files) == ""
    refuses(rules.no_mock, "import mock", "from unittest import mock", "from unittest.mock import Mock")
    refuses(rules.no_mock, "def test(mocker): ...")
    accepts(rules.no_mock, "httpx.MockTransport(f)", "from x import MockTransport")


def test_the_development_stack_and_the_services_meet_by_url_only() -> None:
    ours, theirs = frozenset({"common", *SERVICES}), frozenset({"devstack", "tests"})
    found = [
        f"{shown(path)}:{wrong}"
        for files, forbidden in (
            (python_files(DEVSTACK), ours | {"tests"}),
            (services(), theirs),
            (python_files(LIBRARY), theirs),
        )
        for path in files
        for wrong in rules.no_import_of(tree_of(path), forbidden)
    ]
    assert "\n".join(found) == ""
    refuses(
        lambda t: rules.no_import_of(t, ours),
        "import common.db",
        "def f():\n    from billing.domain import x",
    )
    accepts(lambda t: rules.no_import_of(t, ours), "import commonmark", "from devstack import common")


def test_migrations_do_not_queue_behind_others() -> None:
    files = [p for p in ROOT.glob("services/*/migrations/versions/*.py") if p.name != "__init__.py"]
    assert len(files) >= len(SERVICES)
    assert broken(rules.impatient_migration, files) == ""
    good = "def upgrade():\n    op.execute(\"SET LOCAL lock_timeout = '5s'\")"
    refuses(rules.impatient_migration, "def upgrade():\n    op.create_table('x')")
    refuses(rules.impatient_migration, good + "\ndef downgrade():\n    op.drop_table('x')")
    accepts(rules.impatient_migration, good, good + "\ndef downgrade():\n    raise NotImplementedError")


def missing_rooms(package: Path, folder: Path) -> list[str]:
    expected = [package / name for name in (*DOORS, *(f"{room}/__init__.py" for room in ROOMS))]
    expected += [
        folder / name for name in ("README.md", "pyproject.toml", "alembic.ini", "migrations/env.py")
    ]
    return [shown(path) for path in expected if not path.exists()]


def strange_rooms(package: Path) -> list[str]:
    known = {*ROOMS, "__pycache__", *(door for door in DOORS if "/" not in door)}
    return [shown(path) for path in package.iterdir() if path.name not in known]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_every_room_and_no_other(service: str) -> None:
    package = SERVICES[service]
    assert missing_rooms(package, package.parents[1]) == []
    assert strange_rooms(package) == []


def test_a_missing_and_a_strange_room_are_seen(tmp_path: Path) -> None:
    (tmp_path / "utils").mkdir()
    assert len(missing_rooms(tmp_path, tmp_path)) == len(DOORS) + len(ROOMS) + 4
    assert strange_rooms(tmp_path) == ["utils"]


def test_the_six_services_are_seen() -> None:
    assert sorted(SERVICES) == ["accounts", "billing", "catalog", "kong_sync", "metering", "subscriptions"]
