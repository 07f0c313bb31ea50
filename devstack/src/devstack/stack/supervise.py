"""`python -m devstack supervise`: the process that lives as long as the stack."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys

from devstack.embedded.privileges import own_by_unprivileged
from devstack.stack import secrets, state
from devstack.stack.config import Config
from devstack.stack.layout import Layout, write_json
from devstack.stack.leftovers import forget_dead_postmaster, stop_leftovers
from devstack.stack.ports import choose
from devstack.stack.programs import Program, embedded_broker, parts, postgres_server, services
from devstack.stack.seed import seed
from devstack.stack.supervisor import StartFailed, Supervisor, migrate


def main(*, broker: str) -> int:
    """Run the stack until SIGTERM; 0 after a clean stop, 1 when it could not start, 3 when one runs already."""
    layout = Layout()
    layout.make()
    with layout.lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 3
        return asyncio.run(_supervise(layout, broker=broker))


async def _supervise(layout: Layout, *, broker: str) -> int:
    ended = stop_leftovers(layout)
    chosen, moved = choose()
    config = Config(layout, chosen, secrets.load(layout))
    write_json(layout.ports_file, chosen)
    found = state.StackState(supervisor=state.observed(os.getpid()), broker=broker)
    for line in [*moved, *(f"ended {name}, left behind by an earlier start" for name in ended)]:
        found.say(line)
    supervisor = Supervisor(config, found)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
    layout.stack_file.unlink(missing_ok=True)
    failed = None
    try:
        await _start(supervisor, config)
        await supervisor.stopping.wait()
    except* StartFailed as errors:
        failed = "; ".join(str(error) for error in _leaves(errors))
    await _stop(supervisor)
    layout.stack_file.unlink(missing_ok=True)
    interrupted = supervisor.stopping.is_set() and found.phase != "starting"
    found.phase = "failed" if failed and not interrupted else "stopped"
    if failed:
        found.say(failed)
    supervisor.save()
    if failed:
        print(failed, file=sys.stderr)
    return 1 if failed else 0


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
    first, second = await asyncio.to_thread(_programs, config, supervisor.state.broker)
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
    config.layout.gateway_log.parent.mkdir(parents=True, exist_ok=True)


async def _stop(supervisor: Supervisor) -> None:
    # The gateway first: it hands its queue to metering; the servers last, when nobody needs them any more.
    order = [
        ["kong", "upstream"],
        ["metering", "billing", "catalog", "subscriptions", "kong-sync", "accounts"],
        ["stripe", "oidc", "kafka", "redis"],
        ["postgres"],
    ]
    await supervisor.stop_all(order, {"postgres": "SIGINT"})
