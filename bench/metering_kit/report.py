"""What the figures say, for people and for machines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.metering_kit.run import Bench, Took

# Name, what it says, at least or at most so much, and the two cases that are compared.
RATIOS = {
    "copy": ("consumer ÷ binary COPY", ">=", 0.25, "consumer", "copy"),
    "kafka_streams": ("consumer, flat topic ÷ Kafka Streams", ">=", 1.0, "flat", "kafka_streams"),
    "quixstreams": ("consumer, flat topic ÷ QuixStreams", ">=", 5.0, "flat", "quixstreams"),
    "bytewax": ("consumer, flat topic ÷ Bytewax", ">=", 2.5, "flat", "bytewax"),
    "dedupe_cost": ("what the unique index costs of the rate", "<=", 0.25, "consumer", "no_index"),
    "ingest": ("ingest, acknowledged ÷ parse only (CPU)", "<=", 2.5, "ingest", "parse_only"),
}


def per_event(took: Took) -> float:
    """CPU µs a call, PostgreSQL's included."""
    return (took["cpu"] + took.get("database_cpu", 0)) / took["calls"] * 1e6


def spread(values: list[float]) -> dict[str, float]:
    """The middle, the least and the most."""
    return {name: round(of(values), 3) for name, of in (("median", median), ("min", min), ("max", max))}


def compared(took: dict[str, list[Took | None]]) -> Iterator[tuple[str, list[float], list[float]]]:
    """Each ratio's name, and its values by rate and by CPU, repeat by repeat."""
    for name, (_, _, _, ours, other) in RATIOS.items():
        pairs = [(a, b) for a, b in zip(took.get(ours, []), took.get(other, []), strict=False) if a and b]
        if not pairs:
            continue
        rates = [a["calls"] / a["seconds"] / (b["calls"] / b["seconds"]) for a, b in pairs]
        cpus = [per_event(b) / per_event(a) for a, b in pairs]
        if name == "dedupe_cost":
            rates, cpus = [1 - rate for rate in rates], [1 - cpu for cpu in cpus]
        if name == "ingest":
            rates = cpus = [1 / cpu for cpu in cpus]
        yield name, rates, cpus


def report(bench: Bench, path: Took | None, load: list[float]) -> dict[str, Any]:
    """All that was measured, with the load it was measured under."""
    found: dict[str, Any] = {
        "broker": bench.servers.broker, "calls": bench.calls, "rows_before": bench.rows,
        "batch_calls": bench.batch_calls,
        "load_average_before_and_after": [round(value, 1) for value in load], "skipped": bench.skipped,
        "ratios": {}, "spread": {}, "cpu_ratios": {}, "cpu_spread": {}, "cases": {},
    }  # fmt: skip
    for name, rates, cpus in compared(bench.took):
        for kind, values in (("", rates), ("cpu_", cpus)):
            found[f"{kind}spread"][name] = spread(values)
            found[f"{kind}ratios"][name] = found[f"{kind}spread"][name]["median"]
    for case, runs in bench.took.items():
        done = [run for run in runs if run]
        if not done:
            continue
        found["cases"][case] = {
            "calls_per_second": spread([run["calls"] / run["seconds"] for run in done]),
            "cpu_us_per_call": spread([run["cpu"] / run["calls"] * 1e6 for run in done]),
        }
        if "database_cpu" in done[0]:
            of_database = spread([run["database_cpu"] / run["calls"] * 1e6 for run in done])
            found["cases"][case]["postgres_us_per_call"] = of_database
    if path is not None:
        rate = path["calls"] / path["seconds"]
        found["path"] = {**path, "calls_per_second": rate}
        found["ratios"]["path"] = round(rate / 10_000, 3)
    return found


def show(found: dict[str, Any]) -> None:
    """As tables."""
    table = Table("what", "wanted", "by rate", "least … most", "by CPU", "least … most")
    for name, (what, sense, bound, *_) in RATIOS.items():
        if name not in found["ratios"]:
            continue
        cells = []
        for kind in ("", "cpu_"):
            s = found[f"{kind}spread"][name]
            cells += [f"{s['median']:.2f}", f"{s['min']:.2f} … {s['max']:.2f}"]
        table.add_row(what, f"{'≥' if sense == '>=' else '≤'} {bound}", *cells)
    cases = Table("case", "calls/s", "least … most", "CPU µs a call", "PostgreSQL's")
    for case, took in found["cases"].items():
        rate, of_database = took["calls_per_second"], took.get("postgres_us_per_call")
        cases.add_row(
            case, f"{rate['median']:,.0f}", f"{rate['min']:,.0f} … {rate['max']:,.0f}",
            f"{took['cpu_us_per_call']['median']:.1f}", f"{of_database['median']:.1f}" if of_database else "",
        )  # fmt: skip
    console = Console(markup=False)
    for each in (table, cases):
        if each.rows:
            console.print(each)
    if "path" in found:
        path = found["path"]
        print(
            f"Whole path: {path['calls_per_second']:,.0f} calls/s acknowledged over {path['seconds']:.0f} s (wanted:"
            f" 10,000), at most {path['most_waiting']:,} calls waiting, the last recorded"
            f" {path['drained_seconds']:.1f} s after; POST p50 {path['p50_ms']:.0f} ms, p99 {path['p99_ms']:.0f} ms."
        )
    for case, reason in found["skipped"].items():
        print(f"Not measured, {case}: {reason}")
    before, after = found["load_average_before_and_after"]
    print(f"Broker: {found['broker']}. Load average {before} before, {after} after, {os.cpu_count()} cores.")
