"""Kong's database comes back from an old backup: one pass puts today's decisions in force again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kong_sync.domain.report import Outcome
from tests.gateway.keys import a_key as a_key_text
from tests.kong_sync.double import Double
from tests.kong_sync.factories import a_key, a_subscription, an_id, only
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[Double]:
    """One of its own, whose database can be put back."""
    started = Double(tmp_path / "kong")
    (tmp_path / "kong").mkdir()
    await started.start()
    yield started
    await started.kill()


async def test_one_pass_after_an_old_backup(stage: Stage, double: Double, tmp_path: Path) -> None:
    """Since the backup one key was revoked, a subscription stopped, another sold, and an API changed."""
    other_key, new_key = a_key_text("other".rjust(43, "0")), a_key_text("new".rjust(43, "0"))
    stopped = a_subscription(id=an_id("stopped"), api_id=stage.api.id)
    its_key = a_key(id=an_id("its key"), subscription_id=stopped.id, sha256=_digest(other_key))
    second_key = a_key_text("second".rjust(43, "0"))
    second = a_key(id=an_id("second key"), subscription_id=stage.subscription.id, sha256=_digest(second_key))
    await tell(stage.db, only(subscriptions=[stopped], keys=[its_key, second]))
    await stage.set_up()
    assert [(await stage.call(key=key)).status_code for key in (other_key, second_key)] == [200, 200]

    await double.kill()
    shutil.copytree(tmp_path / "kong", tmp_path / "backup")
    await double.start()
    sold = a_subscription(id=an_id("sold since"), api_id=stage.api.id)
    sold_key = a_key(id=an_id("sold key"), subscription_id=sold.id, sha256=_digest(new_key))
    await tell(
        stage.db,
        only(
            apis=[replace(stage.api, version=2, cors_origins=("https://shop.example",))],
            subscriptions=[replace(stopped, version=2, status="past_due"), sold],
            keys=[replace(second, version=2, status="revoked"), sold_key],
        ),
    )
    await stage.reconcile()

    await double.kill()
    shutil.rmtree(tmp_path / "kong")
    shutil.copytree(tmp_path / "backup", tmp_path / "kong")
    await double.start()
    # the old state is what the gateway says now
    assert [(await stage.call(key=key)).status_code for key in (other_key, second_key)] == [200, 200]
    assert (await stage.call(key=new_key)).status_code == 401

    report = await stage.reconcile()
    assert (report.outcome, report.canary_seen, report.failures) == (Outcome.APPLIED, True, {})
    answers = {key: await stage.call(key=key) for key in (other_key, second_key, new_key, stage.key)}
    assert [answer.status_code for answer in answers.values()] == [403, 401, 200, 200]
    assert answers[other_key].json()["code"] == "SUBSCRIPTION_INACTIVE"
    assert answers[second_key].json()["code"] == "REVOKED_API_KEY"
    assert answers[stage.key].headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert await stage.plan() == []


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
