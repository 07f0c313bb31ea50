"""`python -m common.serve PACKAGE --port N`: serve a service's API, and with `--with-worker` run its worker beside it.

The worker shares the process only where processes are dear (the embedded stack); elsewhere it is `python -m
PACKAGE.worker`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
from collections.abc import Iterator

import uvicorn

from common.log import configure_logging
from common.worker import spare_the_collector, stop_on_signals

_GRACE_SECONDS = 10


class _Server(uvicorn.Server):
    """Uvicorn, stopped by our own event: its signal handlers would know nothing of the worker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to us."""
        yield


def main() -> None:
    """Parse the command line and serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--with-worker", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.package, arguments.host, arguments.port, with_worker=arguments.with_worker))


async def _serve(package: str, host: str, port: int, *, with_worker: bool) -> None:
    settings = importlib.import_module(f"{package}.settings").Settings()
    configure_logging(package, settings.log_level)
    app = importlib.import_module(f"{package}.main").create_app(settings)
    config = uvicorn.Config(
        app, host=host, port=port, log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS, lifespan="on",
    )  # fmt: skip
    spare_the_collector()
    server, stop = _Server(config), asyncio.Event()
    stop_on_signals(stop)

    async def until_stopped() -> None:
        await stop.wait()
        server.should_exit = True

    async def serve() -> None:
        try:
            await server.serve()
        finally:
            stop.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(until_stopped())
        group.create_task(serve())
        if with_worker:
            group.create_task(importlib.import_module(f"{package}.worker").run(settings, stop))


if __name__ == "__main__":
    main()
