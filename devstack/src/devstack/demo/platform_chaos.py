"""`--chaos`: every process that has a part in a call, or stands beside it, is killed at work while the calls run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import asyncpg

from devstack.demo.chaos import DURING_CALLS, Kill, Load
from devstack.demo.story import Story
from devstack.stack.platform import until

_REPEATS = 24
_KEYS = 9  # twice so many and the demo's own stay below the most that a subscription may have
_BUSY_CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND state IN ('active', 'idle in transaction')
"""


async def kill_every_process(story: Story) -> None:
    """Every process but billing and Stripe was killed at work; they are killed during the invoice run and payment."""
    names = [*DURING_CALLS, *(["kafka"] if story.stack.get("broker") == "apache" else [])]
    for name in story.killer.victims(names):
        if name == "postgres":
            kill = await _kill_postgres(story)
        else:
            kill = await story.killer.kill(name, _load_of_calls(story, name))
        _tell(story, kill)
    await _kill_beside_the_path(story)


def _tell(story: Story, kill: Kill) -> None:
    story.tell.say(f"kill -9 {kill.process}: {kill.in_flight} {kill.measured}, back in {kill.seconds} s")


def _load_of_calls(story: Story, name: str) -> Load:
    """What the calls give the process to do."""

    async def open_calls() -> int:
        return story.client.in_flight

    async def on_their_way() -> int:
        answered = story.client.keyed_answers()
        return answered - int((await story.summary())["calls"])

    if name == "metering":
        return Load("calls answered and not metered yet", on_their_way)
    return Load("calls open through the gateway", open_calls)


async def _kill_postgres(story: Story) -> Kill:
    connection = await asyncpg.connect(story.stack["postgres"]["url"])

    async def busy() -> int:
        return int(await connection.fetchval(_BUSY_CONNECTIONS))

    try:
        return await story.killer.kill("postgres", Load("connections in a statement or transaction", busy))
    finally:
        connection.terminate()


async def _kill_beside_the_path(story: Story) -> None:
    """accounts, oidc, catalog, subscriptions and kong-sync were killed at work; nothing was lost or done twice."""
    username = f"c-{story.run}@demo.test"
    subject = await story.platform.sign_in(username)
    work: dict[str, list[Callable[[], Awaitable[Any]]]] = {
        "oidc": [partial(story.platform.sign_in, username)] * _REPEATS,
        "accounts": [partial(_exchange, story, subject)] * _REPEATS,
        "catalog": [partial(_describe, story, number) for number in range(_REPEATS)],
        "subscriptions": [partial(_make_key, story, f"first-{number}") for number in range(_KEYS)],
        "kong-sync": [partial(_make_key, story, f"second-{number}") for number in range(_KEYS)],
    }
    for name in story.killer.victims(list(work)):
        load = Load("keys made that the gateway does not have yet", partial(_unsettled_keys, story))
        await story.killer.kill_during(name, work[name], load if name == "kong-sync" else None)
        _tell(story, story.killer.kills[-1])
    await _verify(story)


async def _exchange(story: Story, subject: str) -> Any:
    body = {"subject_token": subject, "organisation": f"consumer-{story.run}"}
    return await story.platform.post("accounts", "/v1/token", json=body)


async def _keys(story: Story) -> list[dict[str, Any]]:
    path = f"/v1/subscriptions/{story.subscription['id']}/keys"
    page = await story.platform.get("subscriptions", path, token=story.consumer, limit=100)
    return list(page["items"])


async def _keys_at_the_gateway(story: Story) -> Any:
    admin = story.stack["kong"]["admin_url"]
    return await story.platform.fetch(f"{admin}/consumers/sub_{story.subscription['id']}/key-auth?size=1000")


async def _unsettled_keys(story: Story) -> int:
    made = {key["id"] for key in await _keys(story)}
    known = await _keys_at_the_gateway(story)
    return len(made - {credential["id"] for credential in known["data"]}) if known else 0


async def _describe(story: Story, number: int) -> Any:
    body = {
        "description": f"Description number {number} of the demo, changed while the catalogue was killed."
    }
    return await story.platform.patch(
        "catalog", f"/v1/apis/{story.api['id']}", token=story.provider, json=body
    )


async def _make_key(story: Story, name: str) -> Any:
    path = f"/v1/subscriptions/{story.subscription['id']}/keys"
    return await story.platform.post(
        "subscriptions", path, token=story.consumer, json={"name": name}, key=f"{story.run}-{name}"
    )


async def _verify(story: Story) -> None:
    api = await story.platform.get("catalog", f"/v1/apis/{story.api['id']}", token=story.provider)
    if f"number {_REPEATS - 1} " not in api["description"]:
        story.differences.append(f"the catalogue lost the last description: {api['description']}")
    keys = await _keys(story)
    names = sorted(key["name"] for key in keys)
    wanted = sorted(
        ["demo", *(f"{kind}-{number}" for kind in ("first", "second") for number in range(_KEYS))]
    )
    if names != wanted:
        story.differences.append(f"the subscription has {len(names)} keys, {len(wanted)} were made")
    try:
        await until(
            "all keys at the gateway",
            lambda: _keys_at_the_gateway(story),
            lambda found: found is not None and len(found["data"]) == len(wanted),
        )
    except TimeoutError as error:
        story.differences.append(str(error))
