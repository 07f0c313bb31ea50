"""`python -m devstack.stripe --port 8110 --state DIR --webhook-url URL --webhook-secret whsec_…`."""

import argparse
import logging
import signal
from pathlib import Path

import uvicorn

from devstack.stripe.app import StripeDouble
from devstack.stripe.call import Config
from devstack.stripe.http import CuttableProtocol

API_VERSION = "2026-10-28.endive"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="devstack.stripe", description=__doc__)
    parser.add_argument("--port", type=int, default=8110)
    parser.add_argument("--state", type=Path, required=True, help="folder for stripe.sqlite3")
    parser.add_argument("--webhook-url")
    parser.add_argument(
        "--webhook-secret", action="append", default=[], help="repeat it to sign with several"
    )
    parser.add_argument("--base-url", help="of the hosted pages; default: http://127.0.0.1:PORT")
    parser.add_argument(
        "--settlement-seconds",
        type=int,
        default=0,
        help="how long a charge stays pending in the balance (Stripe: some days); 0 makes it available at once",
    )
    parser.add_argument(
        "--opening-balance",
        default="eur:100000",
        help="the platform's own money, put on its balance at the very first start (it carries Stripe's fees, so "
        "that transfers may exceed what charges brought in); CURRENCY:MINOR_UNITS or none",
    )
    options = parser.parse_args()
    if options.webhook_url and not options.webhook_secret:
        parser.error("--webhook-url needs --webhook-secret")
    return options


def main() -> None:
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s stripe %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    options.state.mkdir(parents=True, exist_ok=True)
    config = Config(
        base_url=(options.base_url or f"http://127.0.0.1:{options.port}").rstrip("/"),
        api_version=API_VERSION,
        settlement_seconds=options.settlement_seconds,
    )
    app = StripeDouble(
        options.state / "stripe.sqlite3",
        config,
        webhook_url=options.webhook_url,
        webhook_secrets=options.webhook_secret,
    )
    if options.opening_balance != "none":
        currency, _, amount = options.opening_balance.partition(":")
        app.open_balance(currency, int(amount))
    # uvicorn raises the signal again once it has stopped: without this a clean stop would look like a kill.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=options.port,
        http=CuttableProtocol,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
