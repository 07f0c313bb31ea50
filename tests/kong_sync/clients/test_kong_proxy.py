"""The canary is seen only when every connection answers with its very generation."""

from __future__ import annotations

import httpx
import pytest

from kong_sync.clients.kong_proxy import KongProxy
from kong_sync.domain.canary import probe_body, probe_key


async def test_the_probe_is_asked_with_its_own_key_on_each_connection() -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, request.headers["x-api-key"]))
        return httpx.Response(200, text=probe_body("g7"))

    sighting = await KongProxy("http://p", transport=httpx.MockTransport(answer)).look(
        "m", "g7", connections=3
    )
    assert sighting.seen
    assert asked == [("/_probe/m/g7", probe_key("g7"))] * 3


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(200, text=probe_body("g6")), httpx.Response(404), httpx.Response(500, text="lua")],
)
async def test_anything_else_is_not_the_canary(answer: httpx.Response) -> None:
    proxy = KongProxy("http://p", transport=httpx.MockTransport(lambda _: answer))
    sighting = await proxy.look("m", "g7", connections=1)
    assert not sighting.seen
    assert sighting.instead.startswith(str(answer.status_code))


async def test_a_proxy_that_is_away_is_not_the_canary() -> None:
    sighting = await KongProxy("http://127.0.0.1:1").look("m", "g7", connections=1)
    assert (sighting.seen, sighting.instead.split(":")[0]) == (False, "ConnectError")
