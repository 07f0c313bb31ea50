"""The command line of metering: the worker's use cases, by hand."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from common.clock import SystemClock
from common.db import Database
from common.log import configure_logging
from metering.clients.kafka_log import TOPIC, KafkaLog
from metering.clients.log_file import read_chunk
from metering.db import positions
from metering.db.reconciliation import Comparison, compare
from metering.domain.file_position import FilePosition
from metering.settings import Settings, kafka_log_of
from metering.usecases.ingest_entries import Ingested
from metering.usecases.ingest_lines import ingest_lines

app = typer.Typer(no_args_is_help=True, help="Metering by hand.", pretty_exceptions_show_locals=False)
_STDIN = Path("-")
_LINES = 2_000
_FOLLOW_SECONDS = 0.5
_EVERYTHING = (date(2020, 1, 1), date(2200, 1, 1))


@app.callback()
def begin() -> None:
    """Whatever is logged from here on holds no secret."""
    configure_logging("metering", "WARNING")


@asynccontextmanager
async def _worker_database(settings: Settings) -> AsyncIterator[Database]:
    db = Database(settings.database_worker_url.get_secret_value(), name="metering cli")
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
    """Take in a log file through the ingest path. Safe to repeat: a call is counted once, by its request id."""
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
                await (_take_stdin(take) if file == _STDIN else _take_file(file, take, follow=follow))
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
    async def take(lines: list[bytes]) -> None:
        await ingest_lines(db, kafka_log, lines, namespace=settings.namespace, clock=SystemClock(), done=done)

    return take


async def _take_stdin(take: Take) -> None:
    def chunks() -> Iterator[list[bytes]]:
        while lines := sys.stdin.buffer.readlines(_LINES * 1_000):
            yield [line.strip() for line in lines if line.strip()]

    source = chunks()
    while (lines := await asyncio.to_thread(next, source, None)) is not None:
        await take(lines)


async def _take_file(file: Path, take: Take, *, follow: bool) -> None:
    position: FilePosition | None = None
    while True:
        chunk = await asyncio.to_thread(read_chunk, file, position)
        if chunk is not None:
            await take(chunk.lines)
            position = chunk.position
        elif not follow:
            return
        else:
            await asyncio.sleep(_FOLLOW_SECONDS)


@app.command()
def reconcile(
    first: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day; by default all.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day after the last.")
    ] = None,
) -> None:
    """Recompute every rollup from raw rows. Exit code 0 only without a difference."""
    low, high = first.date() if first else _EVERYTHING[0], last.date() if last else _EVERYTHING[1]
    comparisons = asyncio.run(_reconcile(Settings(), low, high))
    for found in comparisons:
        typer.echo(f"{found.table}: {found.compared} rows compared, {len(found.differences)} differ")
        for difference in found.differences:
            key = " ".join(f"{name}={value}" for name, value in difference.key.items() if value is not None)
            totals = ", ".join(f"{n}: raw {r}, stored {s}" for n, (r, s) in difference.totals.items())
            typer.echo(f"  {difference.bucket} {key}: {totals}")
    if any(found.differences for found in comparisons):
        raise typer.Exit(1)


async def _reconcile(settings: Settings, low: date, high: date) -> list[Comparison]:
    async with _worker_database(settings) as db, db.begin() as session:
        return await compare(session, first=low, last=high)


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


if __name__ == "__main__":
    app()
