"""What the person at the terminal sees."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from devstack.stack import state as states
from devstack.stack.layout import Layout
from devstack.stack.state import StackState

_MARKS = {"waiting": ("·", "dim"), "running": ("…", "yellow"), "done": ("✓", "green"), "failed": ("✗", "red")}


def _steps(state: StackState) -> Text:
    shown = Text()
    for name, progress in state.steps.items():
        mark, style = _MARKS[progress]
        shown.append(f"{mark} {name}  ", style=style)
    return shown


def follow_start(layout: Layout, console: Console) -> bool:
    """Show the start until the stack is ready (True) or has failed (False)."""
    said, began = 0, time.monotonic()
    with Live(Text("starting …"), console=console, refresh_per_second=8, transient=True) as live:
        while True:
            state = states.load(layout)
            alive = state is not None and states.find(state.supervisor) is not None
            if not alive:  # its last words may have come after the look
                state = states.load(layout)
            if state is not None:
                show_lines(state, live.console, after=said)
                said = state.said
                live.update(_steps(state))
                if alive and state.phase == "ready":
                    console.print(f"[green]Ready[/green] in {time.monotonic() - began:.1f} s.")
                    return True
            if not alive:
                console.print(
                    f"[red]It did not start.[/red] See {layout.logs / 'supervisor.log'} and the other logs there."
                )
                return False
            time.sleep(0.1)


def show_lines(state: StackState, console: Console, *, after: int) -> None:
    """Print what was said after the line with that number."""
    for line in state.lines_after(after):
        console.print(line, style="yellow", markup=False)


def follow_stop(gone: Callable[[], bool], console: Console, *, seconds: float) -> None:
    """Wait until `gone`, for so many seconds at most."""
    deadline = time.monotonic() + seconds
    with console.status("stopping …"):
        while not gone() and time.monotonic() < deadline:
            time.sleep(0.1)


def show_addresses(stack: dict[str, Any], console: Console) -> None:
    """A table of every URL."""
    table = Table(box=None, pad_edge=False)
    table.add_column("part", style="bold")
    table.add_column("address")
    table.add_column("")
    table.add_row("gateway, proxy", stack["kong"]["proxy_url"], "[dim]call APIs here[/dim]")
    table.add_row("gateway, Admin API", stack["kong"]["admin_url"], "")
    for name, found in stack["services"].items():
        table.add_row(name, found["url"], f"[dim]{found['url']}/docs[/dim]")
    table.add_row("sample upstream", stack["upstream"]["url"], "")
    table.add_row("Stripe double", stack["stripe"]["url"], "")
    table.add_row("OIDC double", stack["oidc"]["issuer"], "")
    table.add_row("mail", stack["mail"]["url"], "[dim]what people were sent[/dim]")
    table.add_row("Kafka", stack["kafka"]["bootstrap_servers"], "")
    table.add_row("Redis", stack["redis"]["url"], "")
    table.add_row(
        "PostgreSQL", stack["postgres"]["url"].split("@")[-1], "[dim]password in .run/stack.json[/dim]"
    )
    console.print(table)


def show_first_steps(stack: dict[str, Any], console: Console) -> None:
    """Three lines to paste: a token, a search, a call through the proxy."""
    catalog, sample = stack["services"]["catalog"]["url"], stack["sample"]
    console.print("\nTry it:", style="bold")
    # Printed raw: a wrapped line could not be pasted.
    for line in (
        "TOKEN=$(./marketplace token consumer)",
        f"curl -s '{catalog}/v1/apis?q=rates' -H \"Authorization: Bearer $TOKEN\"",
        f"curl -si {sample['url']} -H 'X-API-Key: {sample['key']}'",
    ):
        console.print(f"  {line}", soft_wrap=True, markup=False)


def show_status(state: StackState, console: Console) -> bool:
    """Print a row per process; True when all of them live and are ready."""
    table = Table(box=None, pad_edge=False)
    for column in ("process", "pid", "state", "restarts", "memory"):
        table.add_column(column)
    healthy, total = True, 0
    everything = dict(state.processes) | ({"supervisor": state.supervisor} if state.supervisor else {})
    for name, process in sorted(everything.items()):
        found = states.find(process)
        ready = found is not None and (process.ready or name == "supervisor")
        healthy = healthy and ready
        memory = found.memory_info().rss if found else 0
        total += memory
        word = "ready" if ready else "starting" if found else "gone"
        table.add_row(name, str(process.pid), word, str(process.restarts), f"{memory / 2**20:.0f} MiB")
    console.print(table)
    console.print(f"{state.phase}; {total / 2**20:.0f} MiB in all; broker: {state.broker}")
    for line in state.lines[-5:]:
        console.print(line, style="yellow", markup=False)
    return healthy
