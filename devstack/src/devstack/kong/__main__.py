"""`python -m devstack.kong --admin-port 8001 --proxy-port 8000 --state DIR`"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path

from devstack.kong.gateway import Gateway, Options


def main() -> None:
    parser = argparse.ArgumentParser(prog="devstack.kong", description="A double of Kong 3.9.")
    parser.add_argument("--admin-port", type=int, default=8001)
    parser.add_argument("--proxy-port", type=int, default=8000)
    parser.add_argument(
        "--state", type=Path, required=True, help="folder that keeps what the Admin API was told"
    )
    parser.add_argument(
        "--propagation-delay",
        type=float,
        default=0.0,
        help="seconds until changed routes, services and plugins take effect, as on a real node",
    )
    parser.add_argument("--database", choices=("postgres", "off"), default="postgres")
    parser.add_argument("--declarative-config", type=Path, help="with --database off: what to start with")
    given = parser.parse_args()
    options = Options(
        given.state,
        given.admin_port,
        given.proxy_port,
        given.propagation_delay,
        database=given.database != "off",
        declarative_config=given.declarative_config,
    )
    asyncio.run(_serve(options))


async def _serve(options: Options) -> None:
    gateway = Gateway(options, os.environ)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await gateway.start()
    await stopped.wait()
    await gateway.stop()


if __name__ == "__main__":
    main()
