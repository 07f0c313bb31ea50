"""`./marketplace COMMAND`: the commands of the embedded stack."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

SERVICES = ("accounts", "catalog", "subscriptions", "metering", "billing", "kong-sync")
TAKING_ANY = (*SERVICES, "test", "bench", "simulate", "verify-usage")  # their arguments are another program's
BROKERS = ("embedded", "apache")
Command = Callable[[argparse.Namespace, list[str]], int]


def _up(arguments: argparse.Namespace, _: list[str]) -> int:
    from devstack.stack.commands import up

    return up(detach=arguments.detach, broker=arguments.broker)


def _down(_: argparse.Namespace, __: list[str]) -> int:
    from devstack.stack.commands import down

    return down()


def _status(_: argparse.Namespace, __: list[str]) -> int:
    from devstack.stack.commands import status

    return status()


def _logs(arguments: argparse.Namespace, _: list[str]) -> int:
    from devstack.stack.commands import logs

    return logs(arguments.part, follow=arguments.follow)


def _reset(_: argparse.Namespace, __: list[str]) -> int:
    from devstack.stack.commands import reset

    return reset()


def _token(arguments: argparse.Namespace, _: list[str]) -> int:
    from devstack.stack.commands import token

    return token(arguments.role)


def _test(_: argparse.Namespace, rest: list[str]) -> int:
    from devstack.stack.commands import test

    return test(rest)


def _bench(_: argparse.Namespace, rest: list[str]) -> int:
    from devstack.stack.commands import bench

    return bench(rest)


def _verify_usage(_: argparse.Namespace, rest: list[str]) -> int:
    from devstack.verify_usage import main as verify

    return verify(rest)


def _check(_: argparse.Namespace, __: list[str]) -> int:
    from devstack.stack.commands import check

    return check()


def _demo(arguments: argparse.Namespace, _: list[str]) -> int:
    from devstack.demo.command import demo

    return demo(arguments)


def _faults(arguments: argparse.Namespace, _: list[str]) -> int:
    from devstack.faults.command import faults

    return faults(arguments)


def _simulate(_: argparse.Namespace, rest: list[str]) -> int:
    from devstack.stack.commands import simulate

    return simulate(rest)


def _supervise(arguments: argparse.Namespace, _: list[str]) -> int:
    from devstack.stack.supervise import main

    return main(broker=arguments.broker)


def _service(arguments: argparse.Namespace, rest: list[str]) -> int:
    from devstack.stack.commands import service

    return service(arguments.command, rest)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="marketplace", description="The marketplace on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, add_help=name not in TAKING_ANY)
        made.set_defaults(run=run)
        return made

    up = add("up", _up, "Start the embedded marketplace and stay; Ctrl-C stops all of it.")
    up.add_argument("--detach", action="store_true", help="leave it running and return")
    up.add_argument("--broker", choices=BROKERS, help="default: embedded, or what runs already")
    add("down", _down, "Stop it; the data stays.")
    add("status", _status, "What runs.")
    logs = add("logs", _logs, "Show the logs of all or of one process.")
    logs.add_argument("part", nargs="?")
    logs.add_argument("-f", "--follow", action="store_true")
    add("reset", _reset, "Stop it and remove all its data.")
    token = add("token", _token, "Print a platform token.")
    token.add_argument("role", choices=["admin", "provider", "consumer"])
    add("test", _test, "Run all tests, or with --kong the contract with a real Kong; arguments go to pytest.")
    add("bench", _bench, "Run a program of bench/ with its arguments; without a name, list them.")
    add("check", _check, "Run the house's rules: format, lint, types, layers, architecture.")
    add("verify-usage", _verify_usage, "Check a usage file offline: an invoice line's quantity, or one call.")
    demo = add(
        "demo", _demo, "One call's way from a catalogue to a provider's balance, checked figure by figure."
    )
    demo.add_argument("--json", action="store_true", help="print the facts for machines")
    demo.add_argument("--chaos", action="store_true", help="kill processes with kill -9 while the calls run")
    demo.add_argument("--seed", type=int, default=None, help="the seed of --chaos' choices")
    demo.add_argument(
        "--openapi", metavar="FILE", help="an OpenAPI document to register instead of the sample's own"
    )
    demo.add_argument("--broker", choices=BROKERS, help="default: embedded, or what runs already")
    faults = add(
        "faults", _faults, "Play the fault catalogue: kill, cut, fill and repeat, and recount every call."
    )
    _add_fault_options(faults)
    add("simulate", _simulate, "Play thousands of seeds of the simulation; `--seeds A..B`.")
    supervise = add("supervise", _supervise, "Run the stack in this process (what `up` starts).")
    supervise.add_argument("--broker", choices=BROKERS, default="embedded")
    for name in SERVICES:
        add(name, _service, f"The command line of {name}, with the stack's settings.")
    return parser


def _add_fault_options(faults: argparse.ArgumentParser) -> None:
    faults.add_argument("--seed", type=int, default=None, help="of the first run; the next has the next one")
    faults.add_argument("--runs", type=int, default=1, help="how many runs a row")
    faults.add_argument(
        "--only", action="append", metavar="ROW", help="a row's number, or `controls`; again for more"
    )
    faults.add_argument("--json", action="store_true", help="print the facts for machines")
    faults.add_argument(
        "--broker", choices=BROKERS, help="default: apache where Java and Maven are, else embedded"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments, rest = _parser().parse_known_args(argv)
    if rest and arguments.command not in TAKING_ANY:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    run: Command = arguments.run
    try:
        return run(arguments, rest)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
