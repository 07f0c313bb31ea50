"""`python -m devstack.oidc --port 8111 --state DIR --issuer URL`."""

import argparse
import logging
import signal
from pathlib import Path

import uvicorn

from devstack.oidc.app import create_app
from devstack.oidc.keys import KeyRing


def main() -> None:
    parser = argparse.ArgumentParser(prog="devstack.oidc", description=__doc__)
    parser.add_argument("--port", type=int, default=8111)
    parser.add_argument("--state", type=Path, required=True, help="folder for the signing keys")
    parser.add_argument("--issuer", help="default: http://127.0.0.1:PORT")
    parser.add_argument("--url", help="where it is reached, if not at the issuer's own URL")
    parser.add_argument("--client-id", default="marketplace")
    parser.add_argument("--lifetime-seconds", type=int, default=300, help="of ID and access tokens")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s oidc %(message)s")
    options.state.mkdir(parents=True, exist_ok=True)
    app = create_app(
        KeyRing(options.state / "signing-keys.json"),
        issuer=(options.issuer or f"http://127.0.0.1:{options.port}").rstrip("/"),
        url=options.url,
        client_id=options.client_id,
        lifetime_seconds=options.lifetime_seconds,
    )
    # uvicorn raises the signal again once it has stopped: without this a clean stop would look like a kill.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", timeout_graceful_shutdown=3)


if __name__ == "__main__":
    main()
