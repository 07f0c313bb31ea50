"""What must be true at the end of every seed, recomputed from the traffic."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from tests.simulation.world import World

Rows = list[Any]
_SUMS = "sum(calls)::int, sum(units)::int, sum(bytes_out)::int"
_MINE = "subscription_id = ANY(CAST(:subscriptions AS uuid[]))"


def _sums_of(table: str, keys: str) -> str:
    return f"SELECT '{keys}', row({keys})::text, {_SUMS} FROM {table} GROUP BY {keys}"


_QUERIES = {
    "raw": f"SELECT request_id FROM api_requests_log WHERE {_MINE}",
    "hours": f"""
        SELECT subscription_id::text, hour_start, {_SUMS} FROM usage_records_hourly_now WHERE {_MINE} GROUP BY 1, 2""",
    "days": f"SELECT subscription_id::text, day, {_SUMS} FROM usage_records_daily_now WHERE {_MINE} GROUP BY 1, 2",
    "live days": f"SELECT subscription_id::text, day, {_SUMS} FROM subscription_day_now WHERE {_MINE} GROUP BY 1, 2",
    "counters": """
        SELECT consumer_org::text, month, units::int FROM quota_usage
        WHERE consumer_org = ANY(CAST(:organisations AS uuid[])) AND units > 0""",
    "states": f"SELECT subscription_id::text, month, state, used, version FROM quota_state WHERE {_MINE}",
    "offsets": "SELECT partition, next_offset FROM kafka_offset WHERE topic = :topic",
    "outbox": "SELECT topic, key, payload FROM outbox ORDER BY id",
    "provider sums": " UNION ALL ".join(
        f"(({_sums_of(one, keys)}) EXCEPT ({_sums_of(other, keys)}))"
        for here, there, keys in (
            ("usage_subscription_hourly", "usage_api_hourly", "api_id, hour_start"),
            ("usage_records_daily", "usage_endpoint_daily", "api_id, version_id, endpoint_id, day"),
        )
        for one, other in ((here, there), (there, here))
    ),
    "unsent": "SELECT count(*) FROM outbox WHERE sent_at IS NULL",
}  # fmt: skip


async def broken(world: World, session: AsyncSession) -> list[str]:
    """Every invariant that this seed broke, in words."""
    values = {
        "subscriptions": world.calls.subscriptions, "organisations": world.calls.organisations, "topic": world.topic,
    }  # fmt: skip
    rows: dict[str, Rows] = {}
    for name, query in _QUERIES.items():
        wanted = {key: value for key, value in values.items() if f":{key}" in query}
        rows[name] = [tuple(row) for row in (await session.execute(text(query), wanted)).all()]
    return [*_calls(world, rows), *_sums(world, rows), *_quota(world, rows), *_sending(world, rows)]


def _calls(world: World, rows: dict[str, Rows]) -> Iterator[str]:
    found = Counter(row[0] for row in rows["raw"])
    made = set(world.calls.made)
    if twice := [id_ for id_, count in found.items() if count > 1]:
        yield f"{len(twice)} calls stand twice in the log"
    if lost := made - set(found):
        yield f"{len(lost)} calls are lost"
    ends = {partition: len(records) for partition, records in enumerate(world.log.partitions)}
    if dict(rows["offsets"]) != ends:
        yield f"offsets are {dict(rows['offsets'])}, the log ends at {ends}"


def _sums(world: World, rows: dict[str, Rows]) -> Iterator[str]:
    wanted: dict[str, Any] = {name: defaultdict(lambda: (0, 0, 0)) for name in ("hours", "days", "live days")}
    counters: Counter[Any] = Counter()
    for entry in world.calls.made.values():
        subscription, tags = entry["consumer"]["custom_id"], entry["consumer"]["tags"]
        at = datetime.fromtimestamp(entry["started_at"] // 1000, UTC)
        live = "mode:live" in tags
        units = int(live and entry["source"] == "upstream" and entry["response"]["status"] < 500)
        places = {"hours": at.replace(minute=0, second=0), "days": at.date()} | (
            {"live days": at.date()} if live else {}
        )
        for name, when in places.items():
            before = wanted[name][subscription, when]
            wanted[name][subscription, when] = (
                before[0] + 1, before[1] + units, before[2] + entry["response"]["size"],
            )  # fmt: skip
        organisation = next(tag[4:] for tag in tags if tag.startswith("org:"))
        counters[organisation, at.date().replace(day=1)] += units
    for name, sums in wanted.items():
        if {row[:2]: row[2:] for row in rows[name]} != dict(sums):
            yield f"the {name} are not what the calls add up to"
    if rows["provider sums"]:
        yield f"{len(rows['provider sums'])} sums for providers are not those of their calls"
    if {row[:2]: row[2] for row in rows["counters"]} != {k: n for k, n in counters.items() if n}:
        yield "the quota counters are not what the calls add up to"


def _events(world: World, rows: dict[str, Rows], topic: str) -> Iterator[tuple[str, dict[str, Any]]]:
    mine = {*world.calls.subscriptions}
    for found, key, payload in rows["outbox"]:
        if found == topic and key.split("/")[0] in mine:
            yield key, json.loads(payload)


def _quota(world: World, rows: dict[str, Rows]) -> Iterator[str]:
    """Each crossing was announced once: versions follow on each other, and each tells something that was not so."""
    last: dict[str, dict[str, Any]] = {}
    for key, event in _events(world, rows, "metering.quota.v1"):
        before = last.get(key)
        if event["version"] != (before["version"] + 1 if before else 1):
            yield f"announcement {event['version']} of {key} follows {before}"
        if before and (before["state"], before["limit"]) == (event["state"], event["limit"]):
            yield f"{key} was announced twice as {event['state']}"
        last[key] = event
    stored = {f"{row[0]}/{row[1]:%Y-%m}": (row[2], row[4]) for row in rows["states"]}
    if stored != {key: (event["state"], event["version"]) for key, event in last.items()}:
        yield "what was announced of quotas is not what is stored"
    used = {row[:2]: row[2] for row in rows["counters"]}
    for subscription, quota in world.quotas.items():
        organisation = world.calls.organisations[world.calls.subscriptions.index(subscription)]
        for (owner, month), units in used.items():
            if owner != organisation:
                continue
            wanted = (
                "ok"
                if quota is None or units * 10 < quota * 9
                else "reached"
                if units >= quota
                else "warning"
            )
            told = last.get(f"{subscription}/{month:%Y-%m}", {"state": "ok"})["state"]
            # A plan that changes is judged for the month in which it does; the one before stays as it was announced.
            if month == world.clock.now().date().replace(day=1) and told != wanted:
                yield f"{units} units of {quota} were announced as {told}"


def _sending(world: World, rows: dict[str, Rows]) -> Iterator[str]:
    if rows["unsent"] != [(0,)]:
        yield f"{rows['unsent'][0][0]} events were never sent"
    newest: dict[tuple[str, str], int] = {}
    for topic in ("metering.quota.v1", "metering.usage.v1"):
        for key, event in _events(world, rows, topic):
            newest[topic, key] = max(newest.get((topic, key), 0), event["version"])
    sent: dict[tuple[str, str], list[int]] = defaultdict(list)
    for topic, log in world.sent.items():
        for record in log.partitions[0]:
            sent[topic, (record.key or b"").decode()].append(json.loads(record.value)["version"])
    for name, version in newest.items():
        if not sent[name] or sent[name][-1] != version:
            yield f"{name} ends with {sent[name][-1:]} in its topic, {version} is the newest"
        firsts = list(dict.fromkeys(sent[name]))
        if firsts != sorted(firsts):
            yield f"{name} first went out in the order {firsts}"
    published = dict(_events(world, rows, "metering.usage.v1"))
    totals: Counter[Any] = Counter()
    for key, event in published.items():
        totals[key.split("/")[0], event["date"]] += event["calls"]
    if totals != Counter({(row[0], row[1].isoformat()): row[2] for row in rows["live days"]}):
        yield "the last usage published is not what was used"
