"""`python -m devstack.mail --smtp-port 1025 --port 8025 --state DIR`."""

import argparse
import asyncio
import signal
from pathlib import Path

import uvicorn

from devstack.mail.app import create_app
from devstack.mail.smtp import SmtpServer, serve
from devstack.mail.store import Store


async def run(state: Path, *, smtp_port: int, port: int) -> None:
    store = Store(state)
    async with await serve(SmtpServer(store.deliver), port=smtp_port):
        config = uvicorn.Config(
            create_app(store), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=3
        )
        await uvicorn.Server(config).serve()


def main() -> None:
    parser = argparse.ArgumentParser(prog="devstack.mail", description=__doc__)
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--port", type=int, default=8025)
    parser.add_argument("--state", type=Path, required=True, help="folder for the messages")
    options = parser.parse_args()
    # uvicorn raises the signal again once it has stopped: without this a clean stop would look like a kill.
    signal.signal(signal.SIGTERM, lambda *_: None)
    asyncio.run(run(options.state, smtp_port=options.smtp_port, port=options.port))


if __name__ == "__main__":
    main()
