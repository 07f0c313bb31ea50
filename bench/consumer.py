"""What the consumer does with a call in memory, in multiples of parsing the call's JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from metering.domain.batch import Record, read_batch
from metering.domain.delta import by_subscription_day, fold
from metering.domain.lateness import milliseconds
from metering.domain.rollup import by_counter

ENTRIES, RECORDS, ROUNDS = 200, 5, 3
NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
ID = "01930000-0000-7000-8000-{:012x}"


def an_entry(number: int) -> dict[str, object]:
    """A call of one of 40 subscriptions, as it stands in the request log."""
    subscription = ID.format(number % 40 + 16)
    target = ["ns:bench", "api:" + ID.format(1), "version:" + ID.format(2), "provider:" + ID.format(3)]
    tags = [
        "ns:bench",
        "subscription:" + subscription,
        "org:" + ID.format(4),
        "plan:" + ID.format(5),
        "mode:live",
    ]
    return {
        "started_at": int(NOW.timestamp() * 1000) - number,
        "request": {"id": f"{number:032x}", "method": "GET", "path": f"/acme/pay/v1/things/{number}", "size": 133},
        "response": {"status": 200, "size": 406},
        "latencies": {"request": 9, "proxy": 3, "kong": 6},
        "source": "upstream",
        "upstream_status": "200",
        "service": {"id": ID.format(6), "tags": target},
        "route": {"id": ID.format(7), "tags": target},
        "consumer": {
            "custom_id": subscription,
            "username": f"sub_{subscription}",
            "tags": [*tags, "api:" + ID.format(1), "provider:" + ID.format(3)],
        },
        "authenticated_entity": {"id": ID.format(8)},
    }  # fmt: skip


def fastest(action: Callable[[], object]) -> float:
    """Seconds of the fastest of some rounds: the one that others disturbed least."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        took.append(time.perf_counter() - began)
    return min(took)


def main() -> None:
    """Prints the ratios."""
    values = [
        json.dumps([an_entry(record * ENTRIES + n) for n in range(ENTRIES)]).encode()
        for record in range(RECORDS)
    ]
    records = [Record(0, offset, milliseconds(NOW), value) for offset, value in enumerate(values)]
    batch = read_batch(records, {})
    if len(batch.calls) != ENTRIES * RECORDS:
        raise SystemExit(f"{len(batch.calls)} calls were read of {ENTRIES * RECORDS}: {batch.poison[:1]}")
    parse = fastest(lambda: [msgspec.json.decode(value) for value in values])
    read = fastest(lambda: read_batch(records, {}))
    folded = fastest(lambda: by_counter(by_subscription_day(fold(batch.calls))))
    print(
        f"{ENTRIES * RECORDS} calls; parsing their JSON = 1.0 ({parse / ENTRIES / RECORDS * 1e6:.2f} µs a call)"
    )
    print(f"read (parse, check, attribute)  {read / parse:5.1f}")
    print(f"fold (deltas, days, quotas)     {folded / parse:5.1f}")
    print(f"both                            {(read + folded) / parse:5.1f}")


if __name__ == "__main__":
    main()
