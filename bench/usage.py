"""How long the usage API takes on a full request log: 30 days, several hundred subscriptions, every answer twice.

PostgreSQL is filled by itself (`generate_series`), with the rollups summed by the statements of `reconcile`. Then each
question goes through the real application, in this process, as the largest provider, the largest consumer and an
organisation of ordinary size. Printed: p50 and p99, p50 in multiples of a bare `SELECT 1`, and how many times longer
the same answer takes from raw rows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from uuid import UUID

import asyncpg
import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.metering_kit.servers import cpu_seconds
from common.clock import SystemClock
from common.http.tokens import Claims
from common.worker import spare_the_collector
from devstack.embedded import databases, ports, postgres, privileges
from devstack.stack.layout import HOME
from metering.db.totals import HISTOGRAM, RAW_COLUMNS, RAW_HISTOGRAM, ROLLUP_COLUMNS, SUMS, USAGE_SUMS
from metering.domain.rollup import BucketKey, ErrorKey, SubscriptionKey
from metering.main import create_app
from metering.settings import Settings

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
DAYS, PROVIDERS, CONSUMERS, APIS, SUBSCRIPTIONS = 30, 20, 150, 60, 600
PASSWORD = "bench"
FILLERS = 2  # connections, each with a day of its own
OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "512MB",
           "max_wal_size": "8GB", "work_mem": "16MB"}  # fmt: skip


def an_id(kind: str, number: str) -> str:
    """SQL of the id of the object `number` of a kind (two hexadecimal digits)."""
    return f"('01930000-0000-7000-80{kind}-' || lpad(to_hex({number}), 12, '0'))::uuid"


# Few subscriptions make most of the calls, few endpoints get them; a key in ten is a second one, a call in 50 a test.
FILL = f"""
    INSERT INTO api_requests_log (started_at, request_id, subscription_id, plan_version_id, key_id, is_test,
        consumer_org, provider_org, api_id, version_id, endpoint_id, method, path, status, upstream_status, source,
        billable, units, latency_ms, upstream_latency_ms, gateway_latency_ms, bytes_in, bytes_out, country)
    SELECT at, md5(at::text || n), {an_id("05", "sub")}, {an_id("06", "sub % 7")},
        {an_id("07", "sub * 10 + (dice * 1000)::int % 10 / 9")}, dice < 0.02, {an_id("03", f"sub % {CONSUMERS}")},
        {an_id("02", f"sub % {APIS} % {PROVIDERS}")}, {an_id("01", f"sub % {APIS}")},
        {an_id("04", f"sub % {APIS} * 2 + endpoint / 6")}, {an_id("08", f"sub % {APIS} * 10 + endpoint")},
        'GET', '/acme/pay/v1/things/' || n % 1000, status, status,
        CASE WHEN status = 429 THEN 'gateway' ELSE 'upstream' END, counted, counted::int, latency, latency - 2, 2, 200,
        900, (ARRAY['DE', 'US', 'FR', 'BR', 'IN', 'JP', NULL])[1 + n % 7]
    FROM (SELECT *, status < 500 AND status <> 429 AND dice >= 0.02 AS counted FROM (
        SELECT n, $1::timestamptz + (n * $3::float8) * interval '1 second' AS at, random() AS dice,
            floor({SUBSCRIPTIONS} * power(random(), 2))::int AS sub, floor(9 * power(random(), 2))::int AS endpoint,
            3 + exp(3.7 + 0.8 * random_normal())::int AS latency,
            (ARRAY[200, 404, 400, 429, 503, 500])[greatest(1, (random() * 102)::int - 96)] AS status
        FROM generate_series(0, $2::bigint - 1) AS n) AS drawn) AS call"""


def rollups() -> list[str]:
    """The statements that sum what FILL wrote of a UTC day, which begins at $1 and ends before $2."""
    keys = ", ".join((*BucketKey._fields, "consumer_org", "provider_org"))
    sums = f"{SUMS}, sum({HISTOGRAM})"
    measures = f"{ROLLUP_COLUMNS}, {HISTOGRAM}"
    columns = f"{keys}, {measures}"
    whole = ", ".join((*SubscriptionKey._fields, "consumer_org", "provider_org"))
    failed = ", ".join((*ErrorKey._fields, "consumer_org", "provider_org"))
    day, began = "(started_at AT TIME ZONE 'UTC')::date", "started_at >= $1 AND started_at < $2"
    hours = "FROM usage_records_hourly WHERE hour_start >= $1 AND hour_start < $2"
    return [
        f"INSERT INTO usage_records_hourly (hour_start, {columns}) SELECT bucket, {keys}, {sums} FROM (SELECT"
        f" date_trunc('hour', started_at, 'UTC') AS bucket, {keys}, {RAW_COLUMNS}, {RAW_HISTOGRAM}"
        f" FROM api_requests_log WHERE {began}) AS r GROUP BY bucket, {keys}",
        f"INSERT INTO usage_records_daily (day, {columns}) SELECT bucket, {keys}, {sums} FROM (SELECT"
        f" (hour_start AT TIME ZONE 'UTC')::date AS bucket, {columns} {hours}) AS r GROUP BY bucket, {keys}",
        f"INSERT INTO usage_subscription_hourly (hour_start, {whole}, {measures}) SELECT hour_start, {whole}, {sums}"
        f" {hours} GROUP BY hour_start, {whole}",
        f"INSERT INTO usage_country_daily (day, country, {whole}, {measures}) SELECT bucket, country, {whole}, {sums}"
        f" FROM (SELECT {day} AS bucket, country, {whole}, {RAW_COLUMNS}, {RAW_HISTOGRAM} FROM api_requests_log"
        f" WHERE country IS NOT NULL AND {began}) AS r GROUP BY bucket, country, {whole}",
        f"INSERT INTO usage_errors_daily (day, {failed}, calls, last_at, examples) SELECT {day}, {failed}, count(*),"
        f" max(started_at), (array_agg(request_id))[1:5] FROM api_requests_log WHERE status >= 400 AND {began}"
        f" GROUP BY 1, {failed}",
    ]


TABLES = (
    "api_requests_log", "usage_records_hourly", "usage_records_daily", "usage_subscription_hourly",
    "usage_api_hourly", "usage_endpoint_daily", "usage_country_daily", "usage_errors_daily", "subscription", "endpoint",
)  # fmt: skip
# `endpoint` is the last: where it has rows, everything has.
NAMES = (
    "INSERT INTO subscription (subscription_id, version, consumer_org, provider_org, api_id, plan_version_id, status,"
    " quota) SELECT DISTINCT ON (subscription_id) subscription_id, 1, consumer_org, provider_org, api_id,"
    " plan_version_id, 'active', 1000000 FROM usage_records_daily",
    "VACUUM ANALYZE",
    "INSERT INTO endpoint (endpoint_id, version_id, method, path, weight, retired) SELECT DISTINCT endpoint_id,"
    " version_id, 'GET', '/things/{id}', 1, false FROM usage_records_daily",
)


class Verified:
    """A verifier that knows one caller: the signature of a token is not what is measured."""

    def __init__(self, organisation: UUID) -> None:
        self.organisation = organisation

    async def verify(self, _: str) -> Claims:
        """The claims of a member of the organisation."""
        return Claims(
            user_id=self.organisation, organisation_id=self.organisation, organisation_slug="bench", role="viewer",
            platform_admin=False,
        )  # fmt: skip


class FixedClock(SystemClock):
    """The log ends at noon of a day, whenever it is read."""

    def now(self) -> datetime:
        """That noon."""
        return NOW


@dataclass
class Figure:
    """What one question took, in milliseconds, and how long of it the application and PostgreSQL worked.

    `to_raw` is how many times longer raw rows take. Where others use the machine too, only the CPU times are ours
    alone; PostgreSQL's are counted in hundredths of a second, over all the times that a question is asked.
    """

    who: str
    what: str
    p50_ms: float
    p99_ms: float
    app_cpu_ms: float
    postgres_cpu_ms: float
    to_select_1: float
    to_raw: float | None


@contextlib.asynccontextmanager
async def server(home: Path) -> AsyncIterator[tuple[postgres.Postgres, int]]:
    """A PostgreSQL of this run, and its process."""
    await asyncio.to_thread(home.chmod, 0o755)  # the server runs as somebody else
    shared = privileges.data_root(HOME / ".run")
    shared.mkdir(parents=True, exist_ok=True)
    found = postgres.Postgres(home / "data", postgres.binaries(shared), ports.free_port(), PASSWORD)
    await asyncio.to_thread(found.initialise)
    process = found.start(home / "postgres.log", options=OPTIONS)
    try:
        await databases.wait_ready(found.url)
        yield found, process.pid
    finally:
        await asyncio.to_thread(postgres.Postgres.stop, process)


def urls_of(found: postgres.Postgres) -> databases.DatabaseUrls:
    """The database of metering, as each role sees it."""
    return databases.urls("metering", port=found.port, password=PASSWORD, superuser_password=PASSWORD)


async def fill(found: postgres.Postgres, rows: int, console: Console) -> None:
    """The database has `rows` calls and what is summed of them; it stays as it is when it has them already."""
    await databases.provision(found.url, "metering", PASSWORD)
    urls = urls_of(found)
    migrate = [
        sys.executable,
        "-m",
        "common.migrations",
        f"{HOME}/services/metering/alembic.ini=DATABASE_OWNER_URL",
    ]
    await asyncio.to_thread(
        subprocess.run, migrate, env={"DATABASE_OWNER_URL": urls.owner}, check=True, capture_output=True
    )
    connection = await asyncpg.connect(urls.superuser.replace("+asyncpg", ""))
    try:
        if await connection.fetchval("SELECT count(*) FROM endpoint"):
            return
        await connection.execute(f"TRUNCATE {', '.join(TABLES)}")  # what an interrupted run left
        began, start = time.perf_counter(), NOW - timedelta(days=DAYS)
        for month in sorted({(start + timedelta(days=n)).date().replace(day=1) for n in range(DAYS + 1)}):
            await connection.execute("SELECT ensure_request_log_partition($1)", month)
        with Progress(console=console, transient=True) as progress:
            days = list(utc_days(start, NOW))
            task = progress.add_task(f"{rows:,} calls", total=len(days) * (1 + len(rollups())))
            waiting = iter(days)
            async with asyncio.TaskGroup() as group:
                for _ in range(FILLERS):
                    group.create_task(fill_days(urls, waiting, rows, lambda: progress.advance(task)))
            progress.add_task("Names and statistics", total=None)
            for statement in NAMES:
                await connection.execute(statement)
        console.print(f"{rows:,} calls and what is summed of them, in {time.perf_counter() - began:.0f} s")
    finally:
        await connection.close()


def utc_days(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """[start, end), cut where days begin."""
    while start < end:
        following = min((start + timedelta(days=1)).replace(hour=0), end)
        yield start, following
        start = following


async def fill_days(
    urls: databases.DatabaseUrls, days: Iterator[tuple[datetime, datetime]], rows: int, done: Callable[[], None]
) -> None:  # fmt: skip
    """Of `rows` calls in all, those of the days that are left, with their sums; `done` is called for each statement."""
    connection = await asyncpg.connect(urls.superuser.replace("+asyncpg", ""))
    try:
        for start, end in days:
            seconds = (end - start).total_seconds()
            calls = round(rows * seconds / (DAYS * 86_400))
            await connection.execute(FILL, start, calls, seconds / calls)
            done()
            for statement in rollups():
                await connection.execute(statement, start, end)
                done()
    finally:
        connection.terminate()


async def times_of(action: Callable[[], Awaitable[object]], *, times: int) -> list[float]:
    """Milliseconds of each of `times` goes, after one that is not counted."""
    await action()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await action()
        took.append((time.perf_counter() - began) * 1_000)
    return took


QUESTIONS = {
    "summary": "summary?period=30d",
    "by day": "timeseries?granularity=day&period=30d",
    "by hour": "timeseries?granularity=hour&period=30d",
    "by minute, 2 hours": "timeseries?granularity=minute&from=2026-11-15T10:00:00Z",
    "by day, Berlin": "timeseries?granularity=day&period=30d&tz=Europe/Berlin",
    "compared": "summary?period=30d&compare=true",
    "endpoints": "endpoints?period=30d",
    "keys": "breakdown?by=key&period=30d",
    "consumers": "breakdown?by=consumer&period=30d",
    "countries": "breakdown?by=country&period=30d",
    "status classes": "status-classes?period=30d",
    "errors": "errors?period=30d",
    "requests": "requests?period=30d",
    "requests 5xx": "requests?period=30d&status=5xx",
    "quota": "quota",
}
FROM_RAW = {
    "summary": ("", ""),
    "by day": (", date_trunc('day', started_at, 'UTC') AS bucket", " GROUP BY bucket"),
    "by hour": (", date_trunc('hour', started_at, 'UTC') AS bucket", " GROUP BY bucket"),
    "endpoints": (", api_id, endpoint_id", " GROUP BY api_id, endpoint_id"),
}


async def ask_all(
    urls: databases.DatabaseUrls, process: int, *, times: int, console: Console
) -> list[Figure]:
    """Every question of every caller, measured."""
    connection = await asyncpg.connect(urls.superuser.replace("+asyncpg", ""))
    callers = {}
    for side in ("provider", "consumer"):
        ranked = await connection.fetch(
            f"SELECT {side}_org AS org, sum(calls) AS calls FROM usage_records_daily GROUP BY 1 ORDER BY 2 DESC"
        )
        callers[f"largest {side}"] = ranked[0]
    callers["ordinary consumer"] = ranked[len(ranked) // 2]
    bare = median(await times_of(lambda: connection.fetchval("SELECT 1"), times=times))
    await connection.close()
    console.print(f"SELECT 1: {bare:.2f} ms")
    settings = Settings.model_validate({
        "DATABASE_URL": urls.api, "DATABASE_WORKER_URL": urls.worker, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "REDIS_URL": "redis://127.0.0.1:1", "TOKEN_ISSUER": "bench", "JWKS_URL": "http://127.0.0.1:1/jwks",
        "ingest_token": "x" * 16,
    })  # fmt: skip
    app = create_app(settings, clock=FixedClock())
    spare_the_collector()
    figures = []
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://metering"
        ) as client:
            for who, row in callers.items():
                app.state.verifier = Verified(row["org"])
                label = f"{who} ({row['calls']:,} calls)"
                for what, path in QUESTIONS.items():
                    used = time.process_time(), cpu_seconds(process)
                    took = await times_of(lambda path=path: _ask(client, path), times=times)  # type: ignore[misc]
                    now = time.process_time(), cpu_seconds(process)
                    app_cpu, server_cpu = (
                        (b - a) / (times + 1) * 1_000 for a, b in zip(used, now, strict=True)
                    )
                    raw = await _from_raw(urls, row["org"], what)
                    p50, p99 = median(took), quantiles(took, n=100)[98]
                    figures.append(
                        Figure(
                            label, what, p50, p99, app_cpu, server_cpu, p50 / bare, raw / p50 if raw else None
                        )
                    )
    finally:
        await app.state.db.dispose()
    return figures


async def _ask(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/v1/usage/{path}", headers={"Authorization": "Bearer bench"})
    if answer.status_code != 200:
        raise SystemExit(f"{path}: {answer.status_code} {answer.text}")


async def _from_raw(urls: databases.DatabaseUrls, organisation: UUID, what: str) -> float | None:
    if what not in FROM_RAW:
        return None
    more, group = FROM_RAW[what]
    connection = await asyncpg.connect(urls.api.replace("+asyncpg", ""))
    try:
        await connection.execute("SELECT set_config('app.organisation_id', $1, false)", str(organisation))
        began = time.perf_counter()
        await connection.fetch(
            f"SELECT {USAGE_SUMS}{more} FROM (SELECT started_at, api_id, endpoint_id, {RAW_COLUMNS}, {RAW_HISTOGRAM}"
            f" FROM api_requests_log WHERE started_at >= $1 AND started_at < $2 AND NOT is_test) AS r{group}",
            NOW - timedelta(days=DAYS), NOW,
        )  # fmt: skip
        return (time.perf_counter() - began) * 1_000
    finally:
        await connection.close()


async def run(arguments: argparse.Namespace, console: Console) -> list[Figure]:
    """Fill what is not filled, and ask."""
    with contextlib.ExitStack() as stack:
        home = arguments.home or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="marketplace-bench-"))
        )
        home.mkdir(parents=True, exist_ok=True)
        async with server(home) as (found, process):
            await fill(found, arguments.rows, console)
            return await ask_all(urls_of(found), process, times=arguments.times, console=console)


def main() -> None:
    """Print the figures; exit code 1 when a p99 is 100 ms or more."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="calls in the log (10,000,000)")
    parser.add_argument("--times", type=int, default=100, help="how often each question is asked (100)")
    parser.add_argument("--home", type=Path, help="keep the filled database there, and use what is there")
    parser.add_argument("--json", action="store_true", help="print the figures for machines")
    arguments = parser.parse_args()
    if arguments.rows < 1_000 or arguments.times < 2:
        parser.error("at least a thousand calls, and two times")
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    try:
        figures = asyncio.run(run(arguments, console))
    except KeyboardInterrupt:
        console.print("Interrupted; PostgreSQL has ended, and its data are gone but for --home.")
        sys.exit(130)
    if arguments.json:
        print(json.dumps([asdict(figure) for figure in figures]))
    else:
        table = Table(
            "who", "what", "p50 ms", "p99 ms", "CPU ms", "PostgreSQL's", "÷ SELECT 1", "raw rows ÷ rollups"
        )
        for f in figures:
            to_raw = f"{f.to_raw:.0f}" if f.to_raw else "-"
            figures_of = (f.p50_ms, f.p99_ms, f.app_cpu_ms, f.postgres_cpu_ms)
            table.add_row(f.who, f.what, *(f"{ms:.1f}" for ms in figures_of), f"{f.to_select_1:.0f}", to_raw)
        Console().print(table)
    sys.exit(any(figure.p99_ms >= 100 for figure in figures))


if __name__ == "__main__":
    main()
