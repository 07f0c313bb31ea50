"""The repository as the rules see it."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Import name of each service and the folder that holds it.
SERVICES = {
    path.name: path
    for path in sorted(ROOT.glob("services/*/src/*"))
    if (path / "__init__.py").exists()
}  # fmt: skip
LIBRARY = ROOT / "libs/common/src/common"
DEVSTACK = ROOT / "devstack/src/devstack"


def python_files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def source_files() -> list[Path]:
    """What is shipped: the services, what they share, and the development stack."""
    return python_files(LIBRARY, DEVSTACK, *SERVICES.values())


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def committed_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False, text=True,
    )  # fmt: skip
    if listed.returncode != 0:  # an exported tree without its history: everything in it was committed
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
