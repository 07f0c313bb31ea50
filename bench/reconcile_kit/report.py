"""The figures for people."""

from __future__ import annotations

import os
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

from rich.console import Console
from rich.table import Table


def spread(seconds: list[float]) -> dict[str, float]:
    """The median and the p99."""
    if len(seconds) < 2:
        return {"p50": round(seconds[0], 4), "p99": round(seconds[0], 4)}
    p99 = quantiles(seconds, n=100, method="inclusive")[98]
    return {"p50": round(median(seconds), 4), "p99": round(p99, 4)}


def show(found: dict[str, Any]) -> None:
    """As a table, decK's seconds and the ratio to them where it was there."""
    table = Table("", *(f"{int(many):,} subscriptions" for many in found["sizes"]))
    sizes = list(found["sizes"].values())

    def line(name: str, cell: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(name, *(cell(size) for size in sizes))

    def against(size: dict[str, Any], name: str) -> str:
        if "deck" not in size:
            return f"{size[name]:.2f} s"
        return f"{size[name]:.2f} s, decK {size['deck'][name]:.2f} s: {size['ratios'][name]:.2f} times"

    def milliseconds(seconds: dict[str, float]) -> str:
        return f"{seconds['p50'] * 1e3:.0f} / {seconds['p99'] * 1e3:.0f} ms"

    for label, name in (("first", "first_s"), ("sweep", "sweep_s"), ("change, until live", "change_s")):
        line(label, lambda size, name=name: against(size, name))  # type: ignore[misc]
    line("calls: first, sweep", lambda size: f"{size['first_calls']:,}, {size['sweep_calls']:,}")
    for kind in sizes[0]["changes"]:
        for label, name in (("applied", "applied_s"), ("live", "live_s")):
            line(
                f"{kind}: event to {label}, p50 / p99",
                lambda size, kind=kind, name=name: milliseconds(size["changes"][kind][name]),  # type: ignore[misc]
            )
        line(f"{kind}: calls", lambda size, kind=kind: str(size["changes"][kind]["calls"]))  # type: ignore[misc]
    line("stop among other changes, p50 / p99", lambda size: milliseconds(size["stop_s"]["beside"]))
    line("revoked key among them, p50 / p99", lambda size: milliseconds(size["stop_s"]["revoked"]))
    line("stop beside a sweep, p50 / p99", lambda size: milliseconds(size["stop_s"]["sweep"]))
    line(
        "memory",
        lambda size: (
            f"{size['memory_mib']} MiB" + (f", decK {size['deck']['memory_mib']}" if "deck" in size else "")
        ),
    )
    Console(markup=False).print(table)
    print(
        f"Gateway: {found['gateway']}; {found['writes_at_once']} writes at once; load {os.getloadavg()[0]:.1f}."
    )
    if not found["deck"]:
        print("decK was not measured: there is no deck on PATH.")
