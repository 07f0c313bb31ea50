"""The bench of the usage API fills a small log and has every question answered for every caller."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.usage import FROM_RAW, QUESTIONS
from tests.support.databases import ROOT


def test_every_question_is_answered_and_measured_for_every_caller() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.usage", "--rows", "3000", "--times", "2", "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    # 1: an answer took too long, which is no matter here.
    assert done.returncode in (0, 1), done.stderr[-3000:]
    figures = json.loads(done.stdout)
    callers = {figure["who"].partition(" (")[0] for figure in figures}
    assert callers == {"largest provider", "largest consumer", "ordinary consumer"}
    for caller in callers:
        asked = [figure for figure in figures if figure["who"].startswith(caller)]
        assert [figure["what"] for figure in asked] == list(QUESTIONS)
        assert all(figure["p50_ms"] > 0 and figure["p99_ms"] > 0 for figure in asked)
        assert {figure["what"] for figure in asked if figure["to_raw"]} == set(FROM_RAW)
