"""The command line of metering: the worker's use cases, by hand."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from common.clock import SystemClock
from common.db import Database
from common.log import configure_logging
from common.worker import stop_on_signals
from metering.clients.geoip import country_lookup
from metering.clients.kafka_log import TOPIC, KafkaLog
from metering.clients.log_file import read_chunk
from metering.db import positions
from metering.db.reconciliation import Comparison, bounds
from metering.db.scratch import TableProof
from metering.domain.file_position import FilePosition
from metering.settings import Settings, kafka_log_of
from metering.usecases.ingest_entries import Ingested
from metering.usecases.ingest_lines import ingest_lines
from metering.usecases.raise_versions import raise_versions
from metering.usecases.rebuild_scratch import rebuild_scratch
from metering.usecases.reconcile import reconcile as reconcile_days

app = typer.Typer(no_args_is_help=True, help="Metering by hand.", pretty_exceptions_show_locals=False)
_STDIN = Path("-")
_LINES = 2_000
_FOLLOW_SECONDS = 0.5
_PATIENCE_SECONDS = 3600.0


@app.callback()
def begin() -> None:
    """Whatever is logged from here on holds no secret."""
    configure_logging("metering", "WARNING")


@asynccontextmanager
async def _worker_database(settings: Settings, *, statement_seconds: float = 60.0) -> AsyncIterator[Database]:
    url = settings.database_worker_url.get_secret_value()
    db = Database(url, name="metering cli", statement_seconds=statement_seconds)
    try:
        yield db
    finally:
        await db.dispose()


@app.command()
def replay(
    file: Annotated[
        Path, typer.Argument(help="Kong's file-log, one JSON entry a line; - is standard input.")
    ],
    *,
    follow: Annotated[bool, typer.Option(help="Go on as the file grows, is rotated or truncated.")] = False,
) -> None:
    """Take in a log file through the ingest path. Safe to repeat: a call is counted once, by its request id.

    Ctrl-C ends it, and says what was taken in. Its place is not kept, on purpose: begun again it reads the file from
    its start, which changes nothing but takes its time. A log that is followed for good is the worker's
    (METERING_FILE_LOG_PATH), which keeps its place; answers to cut-offs wait for whoever keeps one, and would wait for
    a replay that somebody has ended.
    """
    size = file.stat().st_size if file != _STDIN else None
    asyncio.run(_replay(Settings(), file, size=size, follow=follow))


async def _replay(settings: Settings, file: Path, *, size: int | None, follow: bool) -> None:
    totals: dict[str, Any] = {"accepted": 0, "rejected": 0, "foreign": 0}
    async with _worker_database(settings) as db:
        kafka_log = kafka_log_of(settings)
        try:
            with _progress() as progress:
                task = progress.add_task("", total=size, **totals)

                def done(size: int, result: Ingested) -> None:
                    for name in totals:
                        totals[name] += getattr(result, name)
                    progress.update(task, advance=size, **totals)

                take = _taker(db, kafka_log, settings, done)
                if file == _STDIN:
                    await _take_stdin(take)
                else:
                    await _take_file(file, take, follow=follow)
        finally:
            await kafka_log.close()
    typer.echo(" ".join(f"{name}={number}" for name, number in totals.items()))


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TextColumn("{task.fields[accepted]} accepted, {task.fields[rejected]} rejected"),
        console=Console(stderr=True),
    )  # fmt: skip


Take = Callable[[list[bytes]], Awaitable[None]]


def _taker(
    db: Database, kafka_log: KafkaLog, settings: Settings, done: Callable[[int, Ingested], None]
) -> Take:
    country_of = country_lookup(settings.geoip_path)

    async def take(lines: list[bytes]) -> None:
        await ingest_lines(
            db,
            kafka_log,
            lines,
            namespace=settings.namespace,
            clock=SystemClock(),
            country_of=country_of,
            done=done,
        )

    return take


async def _take_stdin(take: Take) -> None:
    def chunks() -> Iterator[list[bytes]]:
        while lines := sys.stdin.buffer.readlines(_LINES * 1_000):
            yield [line.strip() for line in lines if line.strip()]

    source = chunks()
    while (lines := await asyncio.to_thread(next, source, None)) is not None:
        await take(lines)


async def _take_file(file: Path, take: Take, *, follow: bool) -> None:
    """Ctrl-C ends it behind the last whole chunk."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    position: FilePosition | None = None
    while not stop.is_set():
        chunk = await asyncio.to_thread(read_chunk, file, position)
        if chunk is not None:
            await take(chunk.lines)
            position = chunk.position
        elif not follow:
            return
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _FOLLOW_SECONDS)


@app.command()
def reconcile(
    first: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day; by default all.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day after the last.")
    ] = None,
) -> None:
    """Recompute every rollup from raw rows, a day at a time. Exit code 0 only without a difference."""
    wanted = (first.date() if first else None, last.date() if last else None)
    comparisons = asyncio.run(_reconcile(Settings(), *wanted))
    for found in comparisons:
        typer.echo(f"{found.table}: {found.compared} rows compared, {len(found.differences)} differ")
        for difference in found.differences:
            totals = ", ".join(f"{n}: raw {r}, stored {s}" for n, (r, s) in difference.totals.items())
            typer.echo(f"  {difference.bucket} {_shown(difference.key)}: {totals}")
    if any(found.differences for found in comparisons):
        raise typer.Exit(1)


def _shown(key: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in key.items() if value is not None)


async def _reconcile(settings: Settings, first: date | None, last: date | None) -> list[Comparison]:
    async with _worker_database(settings, statement_seconds=_PATIENCE_SECONDS) as db:
        async with db.begin() as session:
            found = await bounds(session) or (date(2020, 1, 1), date(2020, 1, 1))
        low, high = first or found[0], last or found[1]
        with _counting("days") as progress:
            task = progress.add_task("", total=max((high - low).days, 0))
            return await reconcile_days(db, first=low, last=high, done=lambda _: progress.advance(task))


@app.command()
def rebuild(
    *,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Into tables beside the real ones, gone at the end.")
    ] = False,
) -> None:
    """Replay the request log into scratch tables and compare each table's hash. Exit code 0 only if all are equal."""
    if not scratch:
        raise typer.BadParameter(
            "Only --scratch: the rollups that invoices rest on are not replaced by a command."
        )
    proofs = asyncio.run(_rebuild(Settings()))
    for proof in proofs:
        word = "equal" if proof.rebuilt == proof.stored else f"DIFFERS from stored {proof.stored}"
        typer.echo(f"{proof.table}: {proof.rows} rows rebuilt, sha256 {proof.rebuilt} {word}")
        for found in proof.mismatches:
            columns = ", ".join(f"{n}: rebuilt {r}, stored {s}" for n, (r, s) in found.columns.items())
            typer.echo(f"  {_shown(found.key)}: {columns}")
    if any(proof.rebuilt != proof.stored for proof in proofs):
        raise typer.Exit(1)


async def _rebuild(settings: Settings) -> list[TableProof]:
    async with _worker_database(settings, statement_seconds=_PATIENCE_SECONDS) as db:
        with _counting("calls") as progress:
            task = progress.add_task("", total=None)
            return await rebuild_scratch(
                db,
                begun=lambda total: progress.update(task, total=total),
                done=lambda number: progress.advance(task, number),
            )


def _counting(what: str) -> Progress:
    return Progress(
        SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn(),
        console=Console(stderr=True),
    )  # fmt: skip


@app.command(name="reset-offsets")
def reset_offsets(
    *, yes: Annotated[bool, typer.Option("--yes", help="Without it, only say what would be done.")] = False
) -> None:
    """Read the request log from its beginning again, after an operator looked at why the consumer halted."""
    settings = Settings()
    topic = settings.kafka_topic_prefix + TOPIC
    stored = asyncio.run(_reset(settings, topic, forget=yes))
    for partition, state in stored.items():
        typer.echo(f"{topic}[{partition}]: {state.next_offset} of cluster {state.cluster_id}")
    typer.echo("Reading begins at 0; nothing is counted twice." if yes else "Nothing was changed: add --yes.")


async def _reset(settings: Settings, topic: str, *, forget: bool) -> dict[int, positions.PartitionState]:
    async with _worker_database(settings) as db, db.begin() as session:
        stored = await positions.lock(session, topic)
        if forget:
            await positions.forget(session, topic)
        return stored


@app.command(name="raise-versions")
def raise_all_versions() -> None:
    """Publish everything again above all earlier versions, after a standby took over that lacked the last ones."""
    typer.echo(
        f"{asyncio.run(_raise_versions(Settings()))} events go out, with versions that nobody has seen."
    )


async def _raise_versions(settings: Settings) -> int:
    async with _worker_database(settings, statement_seconds=_PATIENCE_SECONDS) as db, db.begin() as session:
        return await raise_versions(session, now=SystemClock().now())


if __name__ == "__main__":
    app()
