"""The command line of accounts."""

from __future__ import annotations

import json
import sys

import typer

from accounts.clients.signing import Signer, generate_key
from common.log import configure_logging

app = typer.Typer(no_args_is_help=True, help="Signing keys of accounts.", pretty_exceptions_show_locals=False)


@app.callback()
def begin() -> None:
    """Whatever is logged from here on holds no secret."""
    configure_logging("accounts", "WARNING")


@app.command()
def keygen() -> None:
    """Print a new signing key (ACCOUNTS_SIGNING_KEY). It is a secret: put it where secrets live."""
    typer.echo(generate_key())


@app.command()
def public_key() -> None:
    """Print the public part of the signing key on standard input, fit for ACCOUNTS_RETIRED_KEYS."""
    typer.echo(json.dumps(Signer(sys.stdin.read()).jwks["keys"]))


if __name__ == "__main__":
    app()
