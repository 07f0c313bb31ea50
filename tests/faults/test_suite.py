"""The fault catalogue in short: every row that can run on the embedded broker once, and the negative controls."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from types import ModuleType

import pytest

from common.outbox import relay
from devstack.faults.rows import CONTROLS, ROWS, counting, events
from metering import worker
from metering.clients import kafka_log
from metering.consumers import requests
from metering.usecases import fold_deltas, record_calls, settle_hours
from tests.faults import broken
from tests.support.databases import ROOT


def steps_of(module: ModuleType) -> list[str]:
    return re.findall(r'passed\("(.+)"\)', inspect.getsource(module))


def test_the_suite_knows_every_place_where_the_shipped_code_can_be_ended() -> None:
    assert tuple(steps_of(kafka_log)) == counting.INGEST_STEPS
    assert tuple(steps_of(relay)) == events.RELAY_STEPS
    before, after = steps_of(requests)
    assert (before, *steps_of(record_calls), after) == counting.CONSUMER_STEPS
    assert (*steps_of(fold_deltas), *steps_of(settle_hours), *steps_of(worker)) == counting.FOLD_STEPS


def test_every_control_is_a_way_to_break_the_consumer() -> None:
    assert set(CONTROLS) == set(broken.VARIANTS)


@pytest.mark.e2e
def test_every_row_holds_and_every_control_fails() -> None:
    # Row 6 copies a whole PostgreSQL first, which can take ten seconds: it is played by the command only.
    chosen = [str(row.number) for row in ROWS if row.number != 6] + ["controls"]
    only = [part for name in chosen for part in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "devstack", "faults", "--seed", "3", "--broker", "embedded", "--json", *only],
        cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr[-6000:]
    answer = json.loads(done.stdout)
    broke = [
        (row["row"], run["differences"])
        for row in answer["rows"]
        for run in row["details"]
        if run["differences"]
    ]
    assert broke == [], done.stderr[-6000:]
    assert {control["verdict"] for control in answer["controls"]} == {"failed"}
    assert done.returncode == 0
    assert sum(row["kills"] for row in answer["rows"]) > 10
