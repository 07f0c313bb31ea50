"""The command line of kong-sync: the same plan, the same pass, the front door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from common.clock import SystemClock
from common.db import Database
from common.ids import new_id
from common.log import configure_logging
from kong_sync.api.schemas import DiffOut, DriftOut
from kong_sync.clients.errors import KongRejected, KongUnavailable
from kong_sync.clients.front_door_file import read_front_door
from kong_sync.clients.gateway import Gateway
from kong_sync.domain.adoption import Adoption
from kong_sync.domain.diff import Change
from kong_sync.domain.display import Line, Tone, show_adoption, show_changes, show_drift
from kong_sync.domain.errors import AdoptionChanged, FrontDoorInvalid, OwnerFailed
from kong_sync.domain.guard import Plan
from kong_sync.domain.report import Outcome, PassReport
from kong_sync.settings import Settings
from kong_sync.usecases.adopt import adopt as take_over
from kong_sync.usecases.ask_owners import ask_owners
from kong_sync.usecases.bootstrap import bootstrap as put_front_door
from kong_sync.usecases.export_state import export_state
from kong_sync.usecases.find_drift import find_drift
from kong_sync.usecases.plan_adoption import plan_adoption
from kong_sync.usecases.plan_changes import plan_changes
from kong_sync.usecases.reconcile import reconcile

app = typer.Typer(
    no_args_is_help=True, help="Compare the gateway with the marketplace, and make it equal.",
    pretty_exceptions_show_locals=False,
)  # fmt: skip

T = TypeVar("T")
_EQUAL, _FAILED, _DIFFERS = 0, 1, 2
_STATUS_OF = {Outcome.EQUAL: _EQUAL, Outcome.APPLIED: _EQUAL, Outcome.PARTLY: _DIFFERS}
_PATIENCE_SECONDS = 30.0
_COLOURS = {
    Tone.HEADING: None,
    Tone.ADDED: typer.colors.GREEN,
    Tone.CHANGED: typer.colors.YELLOW,
    Tone.REMOVED: typer.colors.RED,
    Tone.WITHHELD: typer.colors.MAGENTA,
    Tone.FOREIGN: typer.colors.CYAN,
}
ConfirmDeletes = Annotated[bool, typer.Option(help="Also removals that no row of ours explains.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines: the body that the API answers with.")]


@app.callback()
def begin() -> None:
    """Whatever is logged from here on holds no secret."""
    configure_logging("kong_sync", "WARNING")


@app.command()
def plan(*, confirm_deletes: ConfirmDeletes = False, as_json: AsJson = False) -> None:
    """Print what would be written. Exit status: 0 equal, 2 differs, 1 the gateway does not answer."""

    async def work(db: Database, gateway: Gateway) -> Plan:
        planned = await plan_changes(
            db, gateway, now=SystemClock().now(), generation=new_id().hex, confirm_deletes=confirm_deletes
        )
        return planned.plan

    found = _run(work)
    if as_json:
        typer.echo(DiffOut.of(found).model_dump_json(indent=2))
    else:
        _print_plan(found)
    raise typer.Exit(_EQUAL if found.empty else _DIFFERS)


@app.command()
def drift(*, as_json: AsJson = False) -> None:
    """Print what somebody changed in the gateway. Exit status: 0 nothing, 2 something, 1 it does not answer."""
    found = _run(find_drift)
    if as_json:
        typer.echo(DriftOut.of(found, at_most=len(found)).model_dump_json(indent=2))
    else:
        _print(show_drift(found))
        mended = sum(one.ours for one in found)
        typer.echo(
            f"{mended} differ from what was written, {len(found) - mended} are not ours."
            if found
            else "No drift."
        )
    raise typer.Exit(_DIFFERS if found else _EQUAL)


@app.command()
def apply(*, confirm_deletes: ConfirmDeletes = False) -> None:
    """Make one pass. Exit status: 0 the gateway is equal now, 2 something is left, 1 it does not answer."""

    async def work(db: Database, gateway: Gateway) -> PassReport:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, stop.set)
        return await reconcile(db, gateway, clock=SystemClock(), stop=stop, confirm_deletes=confirm_deletes)

    report = _run(work)
    _tell_pass(report)
    raise typer.Exit(_STATUS_OF.get(report.outcome, _FAILED))


@app.command()
def adopt(
    *,
    confirm: Annotated[
        str | None, typer.Option(metavar="MARK", help="Take over what was shown under this mark.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="What would go, as Kong lists it, secrets and all.")
    ] = None,
) -> None:  # fmt: skip
    """Print what stands where ours belongs, and with --confirm put ours in its place.

    Exit status: 0 nothing is in the way (any more), 2 something is or the pass left something, 1 the gateway does
    not answer or is not as it was shown.
    """

    async def look(db: Database, gateway: Gateway) -> Adoption:
        return await plan_adoption(db, gateway, now=SystemClock().now())

    async def take(db: Database, gateway: Gateway) -> PassReport:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, stop.set)
        return await take_over(db, gateway, clock=SystemClock(), stop=stop, confirmed=confirm or "")

    found = _run(look)
    _print(show_adoption(found))
    if output is not None:
        output.touch(mode=0o600)
        output.chmod(0o600)
        output.write_text(json.dumps(found.whole, indent=2), encoding="utf-8")
    if not found.obstacles:
        typer.echo("Nothing is in the way.")
        raise typer.Exit(_EQUAL)
    if confirm is None:
        typer.echo(f"{len(found.removals)} removals make room; --confirm {found.mark} makes them.")
        raise typer.Exit(_DIFFERS)
    report = _run(take)
    _tell_pass(report)
    status = _STATUS_OF.get(report.outcome, _FAILED)
    if status == _EQUAL and _run(look).obstacles:  # another marketplace's, which stay
        status = _DIFFERS
    raise typer.Exit(status)


@app.command()
def export(
    *, output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of the terminal.")] = None
) -> None:  # fmt: skip
    """Write the desired state as a decK state file. It holds digests of keys, and no key and no secret."""

    async def work(db: Database, gateway: Gateway) -> str:
        return await export_state(db, gateway, now=SystemClock().now())

    text = _run(work)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


@app.command()
def rebuild(
    *,
    token: Annotated[str, typer.Option(envvar="MARKETPLACE_TOKEN", help="A platform admin's token.")],
    catalog_url: Annotated[str | None, typer.Option(help="Default: DECK_CATALOG_URL.")] = None,
    subscriptions_url: Annotated[str | None, typer.Option(help="Default: DECK_SUBSCRIPTIONS_URL.")] = None,
    metering_url: Annotated[str | None, typer.Option(help="Default: DECK_METERING_URL.")] = None,
    timeout_seconds: Annotated[float, typer.Option(min=1, help="For each owner.")] = 120,
) -> None:  # fmt: skip
    """Ask the owners of what we copied to publish all of it again. Exit status: 0 all will, 1 somebody will not."""
    settings = Settings()
    urls = {
        "catalog": catalog_url or settings.front_door_catalog_url,
        "subscriptions": subscriptions_url or settings.front_door_subscriptions_url,
        "metering": metering_url or settings.front_door_metering_url,
    }
    answers = asyncio.run(ask_owners(urls, token=token, timeout_seconds=timeout_seconds))
    for name, answer in answers.items():
        if isinstance(answer, OwnerFailed):
            typer.secho(f"{name}: {answer}", fg=typer.colors.RED, err=True)
        else:
            typer.secho(f"{name}: publishes {answer} events again", fg=typer.colors.GREEN)
    failed = any(isinstance(answer, OwnerFailed) for answer in answers.values())
    raise typer.Exit(_FAILED if failed else _EQUAL)


@app.command()
def bootstrap() -> None:
    """Put gateway/kong.yml, the platform's own routes, into the gateway. Safe to repeat."""
    settings = Settings()

    async def work(_: Database, gateway: Gateway) -> list[Change]:
        document = read_front_door(settings.front_door_file, settings.front_door_values)
        return await put_front_door(gateway, document)

    changes = _run(work, settings)
    _print(show_changes(changes))
    typer.echo(f"The front door is up: {len(changes)} changes.")


def _run(work: Callable[[Database, Gateway], Awaitable[T]], settings: Settings | None = None) -> T:
    """`work` with a database and a gateway that are closed afterwards; Kong's trouble becomes an exit status."""
    settings = settings or Settings()

    async def body() -> T:
        db = Database(settings.database_worker_url.get_secret_value(), name="kong_sync cli", pool_size=2)
        gateway = settings.gateway()
        try:
            return await work(db, gateway)
        finally:
            await gateway.close()
            await db.dispose()

    try:
        return asyncio.run(body())
    except (KongRejected, KongUnavailable, FrontDoorInvalid, AdoptionChanged) as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise typer.Exit(_FAILED) from error


def _tell_pass(report: PassReport) -> None:
    _print_plan(report.plan)
    for owner, reason in report.failures.items():
        typer.secho(f"! {owner.concern} {owner.id}: {reason}", fg=typer.colors.RED)
    typer.echo(f"{report.outcome}{f': {report.error}' if report.error else ''}")


def _print_plan(plan: Plan) -> None:
    _print(show_changes(plan.changes))
    _print(show_changes(plan.withheld, withheld=True))
    if plan.withheld:
        typer.echo(
            f"{len(plan.withheld)} removals that no row of ours explains; --confirm-deletes makes them."
        )
    typer.echo("Equal." if plan.empty else f"{len(plan.changes)} changes.")


def _print(lines: Iterable[Line]) -> None:
    """A line each; without colours where the output is no terminal."""
    for line in lines:
        typer.secho(line.text, fg=_COLOURS[line.tone], bold=line.tone is Tone.HEADING)


if __name__ == "__main__":
    app()
