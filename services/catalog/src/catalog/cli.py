"""The catalogue's command line."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from catalog.domain.openapi.document import read_document
from catalog.settings import Settings
from catalog.usecases.republish import republish as publish_everything
from common.clock import SystemClock
from common.db import Database
from common.errors import DomainError
from common.log import configure_logging

app = typer.Typer(
    no_args_is_help=True, help="The catalogue: APIs, versions, plans.", pretty_exceptions_show_locals=False
)


@app.callback()
def begin() -> None:
    """Whatever is logged from here on holds no secret."""
    configure_logging("catalog", "WARNING")


@app.command()
def republish() -> None:
    """Put every API, version and plan into the outbox again, so that readers can rebuild their copies."""
    typer.echo(asyncio.run(_republish(Settings())))


async def _republish(settings: Settings) -> int:
    db = Database(settings.database_worker_url.get_secret_value(), name="catalog cli")
    try:
        async with db.begin() as session:
            return await publish_everything(session, SystemClock().now())
    finally:
        await db.dispose()


@app.command()
def check(documents: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)]) -> None:
    """Read OpenAPI documents as an upload would, and say what would become of each."""
    refused = 0
    for path in documents:
        try:
            document = read_document(path.read_bytes())
        except DomainError as error:
            refused += 1
            typer.echo(f"{path.name}: refused, {error.code}: {error.detail}")
            continue
        kinds = ", ".join(f"{warning.code} x{warning.count}" for warning in document.warnings)
        typer.echo(f"{path.name}: {len(document.operations)} operations" + (f" ({kinds})" if kinds else ""))
    raise typer.Exit(1 if refused else 0)


if __name__ == "__main__":
    app()
