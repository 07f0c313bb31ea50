"""`python -m devstack.upstream --port 8112 --state DIR [--document FILE]`."""

import argparse
import logging
import signal
from pathlib import Path

import uvicorn

from devstack.upstream.app import Upstream
from devstack.upstream.documents import load_document
from devstack.upstream.journal import Journal
from devstack.upstream.rates import DOCUMENT, HANDLERS


def main() -> None:
    parser = argparse.ArgumentParser(prog="devstack.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=8112)
    parser.add_argument("--state", type=Path, required=True, help="folder for journal.jsonl")
    parser.add_argument("--document", type=Path, help="serve examples of this OpenAPI document instead")
    parser.add_argument(
        "--secret-header",
        action="append",
        default=["x-upstream-secret"],
        help="a header that may rightly hold a digest: what the gateway proves itself with",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s upstream %(message)s")
    options.state.mkdir(parents=True, exist_ok=True)
    journal = Journal(options.state / "journal.jsonl", secret_headers=options.secret_header)
    if options.document:
        app = Upstream(load_document(options.document), handlers={}, journal=journal)
    else:
        app = Upstream(load_document(DOCUMENT), handlers=HANDLERS, journal=journal)
    # uvicorn raises the signal again once it has stopped: without this a clean stop would look like a kill.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
