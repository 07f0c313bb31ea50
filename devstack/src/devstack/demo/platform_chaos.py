"""`--chaos` for the services that no call passes through: each is killed in the middle of requests of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from devstack.demo.story import Story
from devstack.stack.platform import until

_REPEATS = 24
_KEYS = 9  # twice so many and the demo's own stay below the most that a subscription may have


async def kill_the_rest(story: Story) -> None:
    """accounts, oidc, catalog, subscriptions and kong-sync were killed at work; nothing was lost or done twice."""
    work: dict[str, list[Callable[[], Awaitable[Any]]]] = {
        "oidc": [partial(story.platform.sign_in, f"p-{story.run}@demo.test")] * _REPEATS,
        "accounts": [partial(_token, story)] * _REPEATS,
        "catalog": [partial(_describe, story, number) for number in range(_REPEATS)],
        "subscriptions": [partial(_make_key, story, f"first-{number}") for number in range(_KEYS)],
        "kong-sync": [partial(_make_key, story, f"second-{number}") for number in range(_KEYS)],
    }
    for name in story.killer.victims(list(work)):
        await story.killer.kill_during(name, work[name])
        kill = story.killer.kills[-1]
        story.tell.say(
            f"kill -9 {name}: {kill.in_flight} requests in flight, back in {kill.recovered_seconds} s"
        )
    await _verify(story)


async def _token(story: Story) -> Any:
    return await story.platform.token(
        f"c-{story.run}@demo.test", slug=f"consumer-{story.run}", name=f"Consumer {story.run}"
    )


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
    path = f"/v1/subscriptions/{story.subscription['id']}/keys"
    keys = (await story.platform.get("subscriptions", path, token=story.consumer, limit=100))["items"]
    names = sorted(key["name"] for key in keys)
    wanted = sorted(
        ["demo", *(f"{kind}-{number}" for kind in ("first", "second") for number in range(_KEYS))]
    )
    if names != wanted:
        story.differences.append(f"the subscription has {len(names)} keys, {len(wanted)} were made")
    admin = story.stack["kong"]["admin_url"]
    url = f"{admin}/consumers/sub_{story.subscription['id']}/key-auth?size=1000"
    try:
        await until(
            "all keys at the gateway",
            lambda: story.platform.fetch(url),
            lambda found: len(found["data"]) == len(wanted),
        )
    except TimeoutError as error:
        story.differences.append(str(error))
