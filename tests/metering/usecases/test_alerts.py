from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from common.db import Database
from common.ids import new_id
from metering.consumers.api import ApiEvent, on_api
from metering.consumers.spend import SpendEvent, on_spend
from metering.db import alerts
from metering.domain.alert import AlertKind, AlertPeriod, AlertRule, default_period
from metering.domain.errors import AlertSubjectUnknown, TooManyAlertRules
from metering.usecases.change_alert_rule import change_alert_rule
from metering.usecases.create_alert_rule import create_alert_rule
from metering.usecases.evaluate_alerts import evaluate_alerts
from metering.usecases.republish import republish
from tests.metering.domain.test_alert import a_rule
from tests.metering.factories import API, CONSUMER_ORG, OTHER_ORG, PROVIDER_ORG, SUBSCRIPTION, an_entry
from tests.metering.recording import NOW, TOPIC, Recorder, count, minutes_ago, published
from tests.metering.usecases.test_quotas import calls, subscribe
from tests.support.outbox import outbox_events

ACTOR = UUID(int=7)


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    await subscribe(worker_db, quota=100)
    event = ApiEvent(version=1, api_id=UUID(API), provider_organisation_id=UUID(PROVIDER_ORG))
    async with worker_db.begin() as session:
        await on_api(session, event, now=NOW)
    recorder = await Recorder(worker_db).begin()
    await recorder.watermark(NOW)
    return recorder


async def watch(db: Database, kind: AlertKind, threshold: object, **overrides: Any) -> AlertRule:
    values: dict[str, Any] = {
        "id": new_id(), "kind": kind, "threshold": Decimal(str(threshold)), "period": default_period(kind),
        "min_calls": 5, "created_at": NOW - timedelta(days=2),
    }  # fmt: skip
    rule = a_rule(**values | overrides)
    async with db.begin() as session:
        return await create_alert_rule(session, rule, actor_user_id=ACTOR, now=NOW)


async def look(db: Database, now: datetime = NOW) -> int:
    """What the worker does in one turn: note what changed, look at what is due."""
    await published(db, now=now)
    async with db.begin() as session:
        return await evaluate_alerts(session, topic=TOPIC, now=now, limit=50)


async def told(db: Database) -> list[tuple[str, str | None, int]]:
    """State, value and version of every alert that went out."""
    events = [e["payload"] for e in await outbox_events(db, "metering.alert.v1")]
    return [(e["state"], e["value"], e["version"]) for e in events]


async def change(db: Database, rule: AlertRule, now: datetime = NOW, **changes: Any) -> AlertRule:
    async with db.begin() as session:
        return await change_alert_rule(
            session, rule.id, organisation_id=rule.organisation_id, changes=changes, actor_user_id=ACTOR,
            if_match=None, now=now,
        )  # fmt: skip


async def test_a_batch_that_jumps_over_the_threshold_fires_once(
    recorder: Recorder, worker_db: Database
) -> None:
    await watch(worker_db, AlertKind.QUOTA_SHARE, 80)
    await recorder.record(*calls(1, 79))
    await look(worker_db)
    assert await told(worker_db) == []
    await recorder.record(*calls(80, 150))
    await look(worker_db)
    await recorder.record(*calls(151, 160))
    await look(worker_db)
    assert await told(worker_db) == [("firing", "150.000", 1)]
    [event] = await outbox_events(worker_db, "metering.alert.v1")
    payload = event["payload"]
    assert event["key"] == payload["alert_id"]
    assert (payload["organisation_id"], payload["unit"], payload["silenced"]) == (
        CONSUMER_ORG,
        "percent",
        False,
    )


async def test_a_higher_quota_resolves_it_and_the_month_fires_no_second_time(
    recorder: Recorder, worker_db: Database
) -> None:
    rule = await watch(worker_db, AlertKind.QUOTA_SHARE, 80)
    await recorder.record(*calls(1, 90))
    await look(worker_db)
    await subscribe(worker_db, quota=1000, version=2)
    await look(worker_db)
    await subscribe(worker_db, quota=100, version=3)
    await look(worker_db)
    assert await told(worker_db) == [("firing", "90.000", 1), ("resolved", "9.000", 2)]
    await change(worker_db, rule, threshold=Decimal(85))  # another threshold is another crossing
    await look(worker_db)
    assert (await told(worker_db))[2:] == [("firing", "90.000", 1)]


async def test_two_workers_announce_one_crossing(recorder: Recorder, worker_db: Database) -> None:
    for threshold in range(50, 70):
        await watch(worker_db, AlertKind.QUOTA_SHARE, threshold)
    await recorder.record(*calls(1, 90))
    await published(worker_db)

    async def race() -> int:
        looked = 0
        for _ in range(10):
            async with worker_db.begin() as session:
                looked += await evaluate_alerts(session, topic=TOPIC, now=NOW, limit=7)
        return looked

    looked = await asyncio.gather(race(), race(), race())
    assert sum(looked) == 20
    assert await told(worker_db) == [("firing", "90.000", 1)] * 20
    assert await count(worker_db, "alert_crossing") == 20


async def test_the_unique_crossing_is_what_keeps_a_second_announcement_out(
    recorder: Recorder, worker_db: Database
) -> None:
    rule = await watch(worker_db, AlertKind.QUOTA_SHARE, 80)
    await recorder.record(*calls(1, 90))
    await look(worker_db)
    async with worker_db.begin() as session:
        last = await alerts.latest_crossing(session, rule.id)
        assert last is not None
        assert not await alerts.fire(session, replace(last, id=new_id()))


async def test_only_rules_whose_data_changed_are_looked_at(recorder: Recorder, worker_db: Database) -> None:
    await watch(worker_db, AlertKind.QUOTA_SHARE, 80)
    await watch(worker_db, AlertKind.ERROR_RATE, 50, subscription_id=None, api_id=UUID(API),
                organisation_id=UUID(PROVIDER_ORG))  # fmt: skip
    assert await look(worker_db) == 2  # new ones are due
    assert await look(worker_db) == 0
    other = "01930000-0000-7000-8000-0000000000f3"
    await recorder.record(an_entry(1, subscription=other, org=OTHER_ORG))
    assert await look(worker_db) == 1  # the API's alone
    await recorder.record(an_entry(2))
    assert await look(worker_db) == 2
    assert await look(worker_db) == 0


async def test_the_error_rate_of_an_hour_fires_also_when_its_calls_come_late(
    recorder: Recorder, worker_db: Database
) -> None:
    await watch(worker_db, AlertKind.ERROR_RATE, 20)
    await recorder.record(*calls(1, 8, at=minutes_ago(10)), *calls(9, 10, at=minutes_ago(10), status=503))
    await look(worker_db)  # NOW is noon: those calls are of the hour before
    assert await told(worker_db) == [("firing", "20.000", 1)]
    later = NOW + timedelta(hours=1, seconds=10)
    assert await look(worker_db, later) == 1
    assert len(await told(worker_db)) == 1  # that hour may still grow
    await recorder.watermark(later)
    assert await look(worker_db, later + timedelta(seconds=30)) == 1
    assert (await told(worker_db))[1:] == [("resolved", None, 2)]
    assert await look(worker_db, later + timedelta(days=1)) == 0


async def test_a_provider_is_told_of_slow_answers_of_an_api(recorder: Recorder, worker_db: Database) -> None:
    await watch(worker_db, AlertKind.LATENCY_MEAN, 100, subscription_id=None, api_id=UUID(API),
                organisation_id=UUID(PROVIDER_ORG), period=AlertPeriod.DAY)  # fmt: skip
    slow = {"request": 150, "proxy": 149, "kong": 1, "receive": 0}
    await recorder.record(*calls(1, 4, latencies=slow))
    await look(worker_db)
    assert await told(worker_db) == []  # fewer than min_calls
    await watch(worker_db, AlertKind.LATENCY_P99, 100, min_calls=1)
    await recorder.record(*calls(5, 6, latencies=slow))
    await look(worker_db)
    values = {e["payload"]["kind"]: Decimal(e["payload"]["value"]) for e in await outbox_events(
        worker_db, "metering.alert.v1")}  # fmt: skip
    assert values["latency_mean"] == 150
    assert 142 <= values["latency_p99"] <= 158  # within 5 %


async def test_silence_is_noticed_without_any_new_data_and_ends_with_a_call(
    recorder: Recorder, worker_db: Database
) -> None:
    await watch(worker_db, AlertKind.NO_TRAFFIC, 3)
    await recorder.record(an_entry(1, at=minutes_ago(90)))
    await look(worker_db)
    assert await told(worker_db) == []
    later = NOW + timedelta(hours=2, seconds=10)
    await look(worker_db, later)
    assert (
        await told(worker_db) == []
    )  # nothing is known of the last hours: no call was read, and none is missing
    await recorder.watermark(later)
    await look(worker_db, later + timedelta(seconds=30))
    assert await told(worker_db) == [("firing", "3", 1)]
    await recorder.record(an_entry(2, at=later), taken_at=later)
    await look(worker_db, later + timedelta(seconds=40))
    assert (await told(worker_db))[1:] == [("resolved", "0", 2)]


async def test_nobody_misses_the_calls_of_a_canceled_subscription(
    recorder: Recorder, worker_db: Database
) -> None:
    await subscribe(worker_db, quota=100, version=2, status="canceled")
    await watch(worker_db, AlertKind.NO_TRAFFIC, 3)
    await recorder.watermark(NOW)
    await look(worker_db)
    assert await told(worker_db) == []


async def test_spend_follows_what_billing_says_and_older_news_change_nothing(
    recorder: Recorder, worker_db: Database
) -> None:
    assert recorder
    await watch(worker_db, AlertKind.SPEND, 5_000)
    for version, amount in ((2, 4_999), (3, 7_000), (1, 1)):
        event = SpendEvent(
            version=version,
            subscription_id=UUID(SUBSCRIPTION),
            month=date(2026, 11, 1),
            currency="EUR",
            amount=amount,
        )
        async with worker_db.begin() as session:
            await on_spend(session, event, now=NOW)
        await look(worker_db)
    assert await told(worker_db) == [("firing", "7000", 1)]
    december = datetime.fromisoformat("2026-12-01T00:00:10Z")
    await recorder.watermark(december)
    await look(worker_db, december)
    assert (await told(worker_db))[1:] == [("resolved", "0", 2)]


async def test_what_begins_in_silence_and_lasts_is_told_when_the_silence_ends(
    recorder: Recorder, worker_db: Database
) -> None:
    end = NOW + timedelta(minutes=30)
    await watch(worker_db, AlertKind.QUOTA_SHARE, 80, silenced_until=end)
    await recorder.record(*calls(1, 90))
    await look(worker_db)
    await look(worker_db, end)
    await look(worker_db, end + timedelta(minutes=1))
    events = [e["payload"] for e in await outbox_events(worker_db, "metering.alert.v1")]
    assert [(e["state"], e["silenced"], e["version"]) for e in events] == [
        ("firing", True, 1),
        ("firing", False, 2),
    ]
    assert events[0]["alert_id"] == events[1]["alert_id"]


async def test_switching_a_rule_off_ends_what_it_fired_without_a_word(
    recorder: Recorder, worker_db: Database
) -> None:
    rule = await watch(worker_db, AlertKind.QUOTA_SHARE, 80)
    await recorder.record(*calls(1, 90))
    await look(worker_db)
    await change(worker_db, rule, enabled=False)
    await look(worker_db)
    events = [e["payload"] for e in await outbox_events(worker_db, "metering.alert.v1")]
    assert [(e["state"], e["silenced"]) for e in events] == [("firing", False), ("resolved", True)]


async def test_a_republish_repeats_recent_alerts_with_the_same_ids(
    recorder: Recorder, worker_db: Database
) -> None:
    await watch(worker_db, AlertKind.QUOTA_SHARE, 80)
    await recorder.record(*calls(1, 90))
    await look(worker_db)
    async with worker_db.begin() as session:
        await republish(session, NOW)
    first, again = (e["payload"] for e in await outbox_events(worker_db, "metering.alert.v1"))
    assert first == again


async def test_a_rule_watches_only_what_is_the_organisations_own(
    recorder: Recorder, worker_db: Database
) -> None:
    assert recorder
    for whose in (
        {"organisation_id": UUID(PROVIDER_ORG)},  # the provider does not own the subscription
        {"subscription_id": None, "api_id": UUID(API)},  # nor the consumer the API
        {"organisation_id": UUID(OTHER_ORG)},
    ):
        with pytest.raises(AlertSubjectUnknown):
            await watch(worker_db, AlertKind.ERROR_RATE, 10, **whose)


async def test_an_organisation_has_at_most_a_hundred_rules_however_they_race(
    recorder: Recorder, worker_db: Database
) -> None:
    assert recorder
    for _ in range(98):
        await watch(worker_db, AlertKind.ERROR_RATE, 10)
    racing = (watch(worker_db, AlertKind.ERROR_RATE, 10) for _ in range(4))
    ended = await asyncio.gather(*racing, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ended) == [
        "AlertRule", "AlertRule", "TooManyAlertRules", "TooManyAlertRules",
    ]  # fmt: skip
    assert TooManyAlertRules.code == "TOO_MANY_ALERT_RULES"
