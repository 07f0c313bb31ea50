"""The import contracts of .importlinter see what they are for: a sound tree passes, a tree with each sin does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import LIBRARY, ROOT, SERVICES
from tests.architecture.test_source import DOORS, ROOMS

SINS = {
    "A room imports only rooms below it": ("billing/domain/x.py", "import billing.usecases"),
    "A service imports no other service": ("catalog/api/x.py", "def f():\n    import metering.domain"),
    "The shared library knows no service": ("common/x.py", "import accounts"),
    "domain is pure": ("metering/domain/y.py", "import asyncio"),
    "domain takes only errors and rounding": ("catalog/domain/z.py", "import common.clock"),
    "usecases meet the outside through": ("accounts/usecases/x.py", "from fastapi import Request"),
    "pydantic stays at the edges": ("catalog/db/x.py", "import pydantic"),
    "SQL stops in db": ("catalog/consumers/x.py", "import asyncpg"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Six services with every room and nothing in it, beside a library with our modules' names."""
    shutil.copy(ROOT / ".importlinter", tmp_path)
    modules = [path.relative_to(LIBRARY.parent) for path in LIBRARY.rglob("*.py")]
    modules += [Path(s) / door for s in SERVICES for door in DOORS if door.endswith(".py")]
    modules += [Path(s) / room / "__init__.py" for s in SERVICES for room in ROOMS]
    for module in modules:
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / module).touch()
    return tmp_path


def broken_contracts(tree: Path) -> list[str]:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=tree, check=False, text=True,
        capture_output=True, env={"PATH": os.defpath, "PYTHONPATH": str(tree)},
    )  # fmt: skip
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return re.findall(r"^(.*) BROKEN$", done.stdout, re.MULTILINE)


def test_a_sound_tree_passes(tree: Path) -> None:
    assert broken_contracts(tree) == []


def test_each_contract_sees_its_sin(tree: Path) -> None:
    for file, text in SINS.values():
        (tree / file).write_text(text)
    found = broken_contracts(tree)
    assert [begin for begin in SINS if not any(name.startswith(begin) for name in found)] == []
    assert len(found) == len(SINS)


def test_a_room_that_has_no_place_yet_is_seen(tree: Path) -> None:
    (tree / "billing/utils").mkdir()
    (tree / "billing/utils/__init__.py").touch()
    assert broken_contracts(tree) == ["A room imports only rooms below it"]
