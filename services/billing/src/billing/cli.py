"""Billing's command line: the worker's use cases, by hand."""

from __future__ import annotations

import asyncio
import json

import typer

from billing.clients.stripe_gateway import StripeGateway
from billing.settings import Settings
from billing.usecases.reconcile import Report
from billing.usecases.reconcile import reconcile as compare
from common.db import Database
from common.log import configure_logging

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_show_locals=False)


@app.callback()
def begin() -> None:
    """Whatever is logged from here on holds no secret."""
    configure_logging("billing", "WARNING")


@app.command()
def reconcile() -> None:
    """Compare invoices, ledger, payouts and Stripe's objects both ways; exit code 1 when something differs."""
    report = asyncio.run(_reconcile(Settings()))
    typer.echo(
        json.dumps(
            {
                "ok": not report.differences, "invoices": report.invoices, "postings": report.postings,
                "payouts": report.payouts, "differences": list(report.differences),
            },
            indent=2,
        )
    )  # fmt: skip
    if report.differences:
        raise typer.Exit(code=1)


async def _reconcile(settings: Settings) -> Report:
    db = Database(settings.database_worker_url.get_secret_value(), name="billing reconcile")
    stripe = StripeGateway(settings.stripe_secret_key.get_secret_value(), api_base=settings.stripe_api_base)
    try:
        return await compare(db, stripe)
    finally:
        await stripe.close()
        await db.dispose()


if __name__ == "__main__":
    app()
