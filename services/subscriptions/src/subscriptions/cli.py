"""The command line of subscriptions."""

import asyncio

import typer

from common.clock import SystemClock
from common.db import Database
from common.log import configure_logging
from subscriptions.domain.api_key import is_well_formed
from subscriptions.settings import Settings
from subscriptions.usecases.expire_keys import expire_keys
from subscriptions.usecases.republish import republish as publish_everything

app = typer.Typer(
    no_args_is_help=True, help="Subscriptions and their keys.", pretty_exceptions_show_locals=False
)


@app.callback()
def begin() -> None:
    """Whatever is logged from here on holds no secret."""
    configure_logging("subscriptions", "WARNING")


@app.command()
def republish() -> None:
    """Put every subscription and key into the outbox again, so that readers can rebuild their copies."""
    typer.echo(asyncio.run(_republish(Settings())))


@app.command()
def expire() -> None:
    """End the keys whose time has come, as the worker does every few seconds."""
    typer.echo(asyncio.run(_expire(Settings())))


@app.command()
def check_key(key: str = typer.Argument(help="A key, or - to be asked for it.")) -> None:
    """Say whether a text is spelled like a key of ours; nothing is looked up, nothing is sent."""
    well_formed = is_well_formed(typer.prompt("Key", hide_input=True) if key == "-" else key)
    typer.echo("well-formed" if well_formed else "not a key: its spelling or its checksum is wrong")
    raise typer.Exit(0 if well_formed else 1)


async def _republish(settings: Settings) -> int:
    db = _database(settings)
    try:
        async with db.begin() as session:
            return await publish_everything(session, SystemClock().now())
    finally:
        await db.dispose()


async def _expire(settings: Settings) -> int:
    db = _database(settings)
    try:
        return await expire_keys(db, now=SystemClock().now())
    finally:
        await db.dispose()


def _database(settings: Settings) -> Database:
    return Database(settings.database_worker_url.get_secret_value(), name="subscriptions cli")


if __name__ == "__main__":
    app()
