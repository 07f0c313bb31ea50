"""The worker process of metering: its loops."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

from common.clock import Clock, SystemClock
from common.db import Database
from common.kafka.runner import Subscription, consume
from common.leader import Leader, leadership
from common.log import get_logger
from common.outbox.relay import relay
from common.steps import Passed, unwatched
from common.worker import Loop, every, main, run_loops, spare_the_collector
from metering.clients.gateway_metrics import GatewayMetrics
from metering.clients.geoip import country_lookup
from metering.clients.kafka_log import TOPIC
from metering.consumers.api import ApiEvent, on_api
from metering.consumers.cutoff import CutoffEvent, on_cutoff
from metering.consumers.requests import Reading, consume_requests
from metering.consumers.spend import SpendEvent, on_spend
from metering.consumers.subscription import SubscriptionEvent, on_subscription
from metering.consumers.version import VersionEvent, on_version
from metering.db import file_positions
from metering.domain.errors import GatewayUnread
from metering.domain.lateness import LATEST_ARRIVAL
from metering.domain.windows import floor_hour
from metering.metrics import CUTOFFS_ANSWERED, FOLDED, GATEWAY_READINGS
from metering.settings import Settings, kafka_log_of
from metering.usecases.answer_cutoffs import Patience, answer_cutoffs
from metering.usecases.drop_old_months import drop_old_months
from metering.usecases.erase_networks import erase_networks
from metering.usecases.evaluate_alerts import evaluate_alerts
from metering.usecases.fold_deltas import MOST, fold_deltas
from metering.usecases.follow_file import follow_file
from metering.usecases.judge_completeness import judge_completeness
from metering.usecases.make_partitions_ahead import make_partitions_ahead
from metering.usecases.make_roots import make_roots
from metering.usecases.publish_key_uses import publish_key_uses
from metering.usecases.publish_statistics import publish_statistics
from metering.usecases.publish_usage import publish_usage
from metering.usecases.reconcile_nightly import reconcile_nightly
from metering.usecases.republish import republish
from metering.usecases.settle_hours import MOST_ROWS, settle_hours
from metering.usecases.take_readings import take_readings

_PARTITION_SECONDS = 3600.0
_SETTLE_SECONDS = 60.0
_STRAGGLERS = timedelta(minutes=5)  # after an hour's end, in which most of its calls have come
_FILE_SECONDS = 0.5
_NIGHT_SECONDS = 60.0
_ROOT_SECONDS, _JUST_OVER = 60.0, timedelta(hours=6)
_LATE_ROOT_SECONDS = 3600.0
# Of alert rules: so many in one transaction, and so many transactions at one time. What is left is due the next time.
_RULES, _TURNS = 50, 20
log = get_logger()
SUBSCRIPTIONS = (
    Subscription(SubscriptionEvent, on_subscription),
    Subscription(VersionEvent, on_version),
    Subscription(CutoffEvent, on_cutoff),
    Subscription(ApiEvent, on_api),
    Subscription(SpendEvent, on_spend),
)


def reading_of(settings: Settings) -> Reading:
    """How the request log is read, as `settings` say."""
    return Reading(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        topic=settings.kafka_topic_prefix + TOPIC,
        partitions=settings.partitions,
        batch_calls=settings.batch_calls,
        batch_seconds=settings.batch_seconds,
        client_net_keep=timedelta(days=settings.client_net_days),
        fast=settings.fast_reader,
    )


async def publish_due(db: Database, settings: Settings, clock: Clock) -> None:
    """What changed is published, and the cut-offs that are complete are answered."""
    while True:
        async with db.begin() as session:
            if not await publish_usage(session, now=clock.now()):
                break
    topic, grace = settings.kafka_topic_prefix + TOPIC, timedelta(seconds=settings.grace_seconds)
    wait = timedelta(seconds=settings.completeness_wait_seconds) if settings.gateway_nodes else None
    patience = Patience(
        file_log=timedelta(seconds=settings.file_log_wait_seconds), bound=settings.completeness_bound_percent,
        counters=wait, holds=settings.completeness_unknown == "hold",
    )  # fmt: skip
    async with db.begin() as session:
        answered = await answer_cutoffs(session, topic=topic, grace=grace, patience=patience, now=clock.now())
    CUTOFFS_ANSWERED.inc(answered)


async def publish_for_show(db: Database, settings: Settings, clock: Clock) -> None:
    """What others only show is published: when keys were last used, and how APIs do."""
    wait, due = timedelta(seconds=settings.statistics_seconds), 1
    while due:
        async with db.begin() as session:
            due = await publish_key_uses(session, now=clock.now())
        async with db.begin() as session:
            due += await publish_statistics(session, wait=wait, now=clock.now())


async def fold_pending(db: Database, passed: Passed = unwatched) -> None:
    """What was pending when this began is in the rollups."""
    folded = MOST
    while folded == MOST:
        async with db.begin() as session:
            folded = await fold_deltas(session, passed=passed)
        if folded:
            passed("fold committed")
        FOLDED.inc(folded)


async def settle_over(db: Database, *, before: datetime, passed: Passed = unwatched) -> None:
    """The hours that began before `before` are settled."""
    settled = MOST_ROWS
    while settled == MOST_ROWS:
        async with db.begin() as session:
            settled = await settle_hours(session, before=before, passed=passed)
        if settled:
            passed("settle committed")


async def watch(db: Database, settings: Settings, clock: Clock) -> None:
    """The alert rules that are due were looked at, a bounded number of them."""
    for _ in range(_TURNS):
        async with db.begin() as session:
            looked = await evaluate_alerts(
                session, topic=settings.kafka_topic_prefix + TOPIC, now=clock.now(), limit=_RULES
            )
        if looked < _RULES:
            break


async def let_go(db: Database, settings: Settings, clock: Clock) -> None:
    """Raw rows and clients' networks whose time is over are gone."""
    await drop_old_months(db, keep=timedelta(days=settings.raw_retention_days), now=clock.now())
    await erase_networks(db, keep=timedelta(days=settings.client_net_days), now=clock.now())
    async with db.begin() as session:  # what is in such a file is too old to count
        await file_positions.forget_abandoned(session, before=clock.now() - LATEST_ARRIVAL)


async def seal(db: Database, settings: Settings, clock: Clock, *, back: timedelta) -> None:
    """The hours that ended at most `back` ago have roots of all their calls."""
    made = 1
    while made:
        async with db.begin() as session:
            made = await make_roots(
                session, topic=settings.kafka_topic_prefix + TOPIC, grace=timedelta(seconds=settings.grace_seconds),
                back=back, now=clock.now(),
            )  # fmt: skip


async def judge_due(db: Database, settings: Settings, clock: Clock) -> None:
    """Spans of time of which everything should have arrived are compared with what the gateway counted."""
    async with db.begin() as session:
        await judge_completeness(
            session, topic=settings.kafka_topic_prefix + TOPIC, grace=timedelta(seconds=settings.grace_seconds),
            bound=settings.completeness_bound_percent, now=clock.now(),
        )  # fmt: skip


async def read_gateway(db: Database, gateway: GatewayMetrics, leader: Leader, clock: Clock) -> None:
    """What the gateway's nodes have counted is taken; when one did not say, the next reading covers its time too."""
    before = clock.now()
    try:
        readings = await gateway.read()
    except GatewayUnread as error:
        GATEWAY_READINGS.labels("failed").inc()
        log.warning("gateway.unread", error=str(error))
        return
    after = clock.now()
    leader.check()
    async with db.begin() as session:
        await take_readings(session, readings, before=before, after=after)
    GATEWAY_READINGS.labels("taken").inc()


def completeness_loops(
    settings: Settings,
    db: Database,
    patient: Database,
    *,
    gateway: GatewayMetrics,
    clock: Clock,
    stop: asyncio.Event,
) -> dict[str, Loop]:
    """The gateway's counters are read by one replica, and judged by whichever comes first."""

    async def read() -> None:
        async with leadership(db, "metering gateway counters", stop) as leader:
            await every(
                settings.gateway_read_seconds, lambda: read_gateway(db, gateway, leader, clock), stop=stop
            )

    return {
        "gateway counters": read,
        "completeness": lambda: every(
            settings.publish_seconds, lambda: judge_due(patient, settings, clock), stop=stop
        ),
    }


def night_loop(settings: Settings, patient: Database, *, clock: Clock, stop: asyncio.Event) -> Loop:
    """The rollups are reconciled once a night, by whichever replica comes first."""

    async def night() -> None:
        await reconcile_nightly(patient, clock, hour=settings.reconcile_hour)

    return lambda: every(_NIGHT_SECONDS, night, stop=stop)


def root_loops(settings: Settings, db: Database, *, clock: Clock, stop: asyncio.Event) -> dict[str, Loop]:
    """Hours are sealed soon after they are over, and again when calls came late."""

    def sealing(seconds: float, back: timedelta) -> Loop:
        return lambda: every(seconds, lambda: seal(db, settings, clock, back=back), stop=stop)

    return {
        "roots": sealing(_ROOT_SECONDS, _JUST_OVER),
        "late roots": sealing(_LATE_ROOT_SECONDS, LATEST_ARRIVAL),
    }


def publishing_loops(
    settings: Settings, db: Database, *, clock: Clock, stop: asyncio.Event
) -> dict[str, Loop]:
    """What changed goes out; what is only shown does not hold up what is paid by."""

    def publishing(publish: Callable[[Database, Settings, Clock], Awaitable[None]]) -> Loop:
        return lambda: every(settings.publish_seconds, lambda: publish(db, settings, clock), stop=stop)

    return {"publish": publishing(publish_due), "statistics": publishing(publish_for_show)}


def folding_loops(settings: Settings, db: Database, *, clock: Clock, stop: asyncio.Event) -> dict[str, Loop]:
    """What batches wrote down is folded, and hours are settled soon after they are over."""

    async def settle() -> None:
        await settle_over(db, before=floor_hour(clock.now() - _STRAGGLERS))

    return {
        "fold": lambda: every(settings.fold_seconds, lambda: fold_pending(db), stop=stop),
        "hours": lambda: every(_SETTLE_SECONDS, settle, stop=stop),
    }


def patient_database(settings: Settings) -> Database:
    """For statements that read a day of raw rows, which takes longer than any other loop's may."""
    url = settings.database_worker_url.get_secret_value()
    return Database(url, name="metering reconciliation", pool_size=2, statement_seconds=3600.0)


def collect_rarely() -> None:
    """The garbage collector looks rarely, and never at what was there at the start.

    A batch makes some hundred thousand objects that refer to each other in one direction only: they go by themselves,
    and the usual thresholds would have all of a process's objects visited dozens of times meanwhile.
    """
    spare_the_collector()
    gc.set_threshold(100_000, 20, 20)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Every loop of metering runs until `stop` is set."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        db = Database(settings.database_worker_url.get_secret_value(), name="metering worker")
        stack.push_async_callback(db.dispose)
        kafka_log = kafka_log_of(settings)
        stack.push_async_callback(kafka_log.close)

        async def partitions() -> None:
            async with db.begin() as session:
                await make_partitions_ahead(session, now=clock.now())

        patient = patient_database(settings)
        stack.push_async_callback(patient.dispose)

        reading = reading_of(settings)
        loops: dict[str, Loop] = {
            "relay": lambda: relay(
                db=db, settings=settings, clock=clock, stop=stop, service="metering", republish=republish
            ),
            "events": lambda: consume(
                SUBSCRIPTIONS, db=db, settings=settings, clock=clock, stop=stop, service="metering"
            ),
            "requests": lambda: consume_requests(reading, db=db, clock=clock, stop=stop),
            **publishing_loops(settings, db, clock=clock, stop=stop),
            **folding_loops(settings, db, clock=clock, stop=stop),
            "alerts": lambda: every(settings.alert_seconds, lambda: watch(db, settings, clock), stop=stop),
            "partitions": lambda: every(_PARTITION_SECONDS, partitions, stop=stop),
            **root_loops(settings, db, clock=clock, stop=stop),
            "reconciliation": night_loop(settings, patient, clock=clock, stop=stop),
            "retention": lambda: every(_PARTITION_SECONDS, lambda: let_go(db, settings, clock), stop=stop),
        }
        if settings.gateway_nodes:
            gateway = GatewayMetrics(settings.gateway_nodes)
            stack.push_async_callback(gateway.close)
            loops |= completeness_loops(settings, db, patient, gateway=gateway, clock=clock, stop=stop)
        path = settings.file_log_path
        if path is not None:
            country_of = country_lookup(settings.geoip_path)

            async def follow() -> None:
                await follow_file(
                    db, kafka_log, path, namespace=settings.namespace, clock=clock, country_of=country_of
                )

            loops["file log"] = lambda: every(_FILE_SECONDS, follow, stop=stop)
        await run_loops(loops, stop=stop, service="metering")


if __name__ == "__main__":
    collect_rarely()
    main(run, Settings, service="metering")
