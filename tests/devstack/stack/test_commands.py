"""Commands of `./marketplace` that another program carries out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.stack.layout import HOME
from tests.kong_sync.double import Double


def marketplace(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("KONG_")}  # noqa: TID251
    return subprocess.run(
        [sys.executable, "-m", "devstack", *arguments], cwd=HOME, env=mine | environment, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({}, "KONG_ADMIN_URL and KONG_PROXY_URL not set"),
        ({"KONG_ADMIN_URL": "http://127.0.0.1:9"}, "KONG_PROXY_URL not set"),
        ({"KONG_ADMIN_URL": "", "KONG_PROXY_URL": "http://127.0.0.1:9"}, "KONG_ADMIN_URL not set"),
    ],
)
def test_without_a_kong_it_is_said_what_to_set(environment: dict[str, str], missing: str) -> None:
    done = marketplace("test", "--kong", **environment)
    assert done.returncode == 2
    assert done.stderr.startswith(missing)
    assert "MARKETPLACE_KONG_REACHES" in done.stderr


def test_a_kong_that_does_not_answer_is_named() -> None:
    nowhere = {"KONG_ADMIN_URL": "http://127.0.0.1:9", "KONG_PROXY_URL": "http://127.0.0.1:9"}
    done = marketplace("test", "--kong", "-k", "created_at or put_by_id", **nowhere)
    assert done.returncode == 1
    assert "No Kong at http://127.0.0.1:9" in done.stdout + done.stderr


async def test_the_named_kong_is_the_one_that_is_tested(tmp_path: Path) -> None:
    double = Double(tmp_path)
    await double.start()
    named = {"KONG_ADMIN_URL": f"{double.admin_url}/", "KONG_PROXY_URL": double.proxy_url}
    # a name that is not loopback's: the upstream and the sink listen where it leads
    done = marketplace("test", "--kong", "-k", "reached_quota", **named, MARKETPLACE_KONG_REACHES="127.0.0.2")
    await double.kill()
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "double.log").read_text().count("admin PUT /services/") > 3


def test_bench_names_its_programs() -> None:
    done = marketplace("bench")
    assert done.returncode == 0
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    assert listed == {path.stem for path in (HOME / "bench").glob("*.py")}
    unknown = marketplace("bench", "nothing")
    assert (unknown.returncode, "consumer" in unknown.stderr) == (2, True)
