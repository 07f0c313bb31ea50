"""`python -m devstack supervise`: the process that lives as long as the stack."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from contextlib import ExitStack

import psutil

from devstack.embedded.privileges import own_by_unprivileged, private_folder
from devstack.stack import secrets, state
from devstack.stack.config import Config
from devstack.stack.layout import STOP_SIGNALS, Layout, write_json
from devstack.stack.leftovers import forget_dead_postmaster, rotate_long, stop_leftovers
from devstack.stack.ports import choose
from devstack.stack.programs import Program, embedded_broker, parts, postgres_server, services
from devstack.stack.seed import seed
from devstack.stack.supervisor import StartFailed, Supervisor, migrate


def main(*, broker: str) -> int:
    """Run the stack until SIGTERM; 0 after a clean stop, 1 when it could not start, 3 when one runs already."""
    # Whoever started us held them back until we existed.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    layout = Layout()
    layout.make()
    with layout.lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 3
        with ExitStack() as port_claims:
            return asyncio.run(_supervise(layout, broker=broker, port_claims=port_claims))


async def _supervise(layout: Layout, *, broker: str, port_claims: ExitStack) -> int:
    earlier = state.load(layout)
    found = state.StackState(supervisor=state.observed(os.getpid()), broker=broker)
    # Kept until they have ended: whoever stops us meanwhile still finds them.
    found.processes = earlier.processes if earlier else {}
    found.save(layout)
    ended = stop_leftovers(layout)
    found.processes = {}
    chosen, moved = choose(port_claims)
    config = Config(layout, chosen, secrets.load(layout))
    write_json(layout.ports_file, chosen)
    for line in [*moved, *(f"ended {name}, left behind by an earlier start" for name in ended)]:
        found.say(line)
    supervisor = Supervisor(config, found)
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
    layout.stack_file.unlink(missing_ok=True)
    failed = None
    try:
        await _start_unless_stopped(supervisor, config)
        await supervisor.stopping.wait()
    except* StartFailed as errors:
        failed = "; ".join(str(error) for error in _leaves(errors))
    await _stop(supervisor)
    layout.stack_file.unlink(missing_ok=True)
    found.phase = "failed" if failed else "stopped"
    if failed:
        found.say(failed)
    supervisor.save()
    if failed:
        print(failed, file=sys.stderr)
    return 1 if failed else 0


async def _start_unless_stopped(supervisor: Supervisor, config: Config) -> None:
    """The stack is ready, or a stop was asked for and the start was broken off."""
    start = asyncio.create_task(_start(supervisor, config))
    stop = asyncio.create_task(supervisor.stopping.wait())
    await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
    if not stop.done():
        stop.cancel()
        return start.result()
    start.cancel()
    await asyncio.gather(start, return_exceptions=True)


def _leaves(group: BaseExceptionGroup[StartFailed]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


def _programs(config: Config, broker: str) -> tuple[list[Program], list[Program]]:
    if broker == "apache":
        from devstack.stack.apache import apache_broker

        kafka = apache_broker(config)
    else:
        kafka = embedded_broker(config)
    return parts(config, kafka=kafka), services(config)


async def _start(supervisor: Supervisor, config: Config) -> None:
    await supervisor.step("files", asyncio.to_thread(_prepare, config))
    # A step of its own: the first start with Apache Kafka downloads it.
    first, second = await supervisor.step(
        "broker", asyncio.to_thread(_programs, config, supervisor.state.broker)
    )
    supervisor.state.steps |= {program.name: "waiting" for program in first}
    supervisor.state.steps |= {"migrations": "waiting"} | {program.name: "waiting" for program in second}
    supervisor.state.steps |= {"front door": "waiting", "sample": "waiting"}
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.start(first))
        group.create_task(supervisor.step("migrations", migrate(config)))
    await supervisor.start(second)
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.step("front door", _bootstrap(config)))
        group.create_task(supervisor.step("sample", _seed(config, supervisor.state.broker)))
    supervisor.state.phase = "ready"
    supervisor.save()


async def _seed(config: Config, broker: str) -> None:
    tokens, sample = await seed(config)
    stack = config.stack(tokens=tokens) | {"sample": sample, "broker": broker}
    write_json(config.layout.stack_file, stack)


async def _bootstrap(config: Config) -> None:
    """gateway/kong.yml is in the gateway: the platform's own routes."""
    with (config.layout.logs / "bootstrap.log").open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kong_sync.cli", "bootstrap", stdout=sink, stderr=sink,
            env=config.service_environment("kong-sync"), cwd=config.layout.home,
        )  # fmt: skip
    if await process.wait() not in (0, 2):
        raise StartFailed(f"the front door was refused; see {config.layout.logs / 'bootstrap.log'}")


def _prepare(config: Config) -> None:
    server = postgres_server(config)
    server.initialise()
    forget_dead_postmaster(server.data / "postmaster.pid")
    own_by_unprivileged(server.data)
    private_folder(config.layout.gateway_log.parent)
    rotate_long(config.layout.gateway_log)


async def _stop(supervisor: Supervisor) -> None:
    # The gateway first: it hands its queue to metering; the servers last, when nobody needs them any more.
    order = [
        ["kong", "upstream"],
        ["metering", "billing", "catalog", "subscriptions", "kong-sync", "accounts"],
        ["stripe", "oidc", "mail", "kafka", "redis"],
        ["postgres"],
    ]
    await supervisor.stop_all(order)
    # What a start that was broken off had under way: migrations, a download.
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
