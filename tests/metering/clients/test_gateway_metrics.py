from __future__ import annotations

import httpx
import pytest

from metering.clients.gateway_metrics import GatewayMetrics
from metering.domain.errors import GatewayUnread


def answering(*nodes: httpx.Response | Exception) -> GatewayMetrics:
    def handle(request: httpx.Request) -> httpx.Response:
        found = nodes[int(request.url.host.removeprefix("node"))]
        if isinstance(found, Exception):
            raise found
        return found

    urls = [f"http://node{number}/metrics" for number in range(len(nodes))]
    return GatewayMetrics(urls, transport=httpx.MockTransport(handle))


async def test_every_node_is_read() -> None:
    texts = [f'kong_nginx_requests_total{{node_id="{n}"}} {n}' for n in (3, 4)]
    gateway = answering(*(httpx.Response(200, text=text) for text in texts))
    found = await gateway.read()
    assert {url: r.requests_total for url, r in found.items()} == {
        "http://node0/metrics": 3,
        "http://node1/metrics": 4,
    }
    await gateway.close()


@pytest.mark.parametrize(
    "failing",
    [
        httpx.ConnectError("refused"), httpx.ReadTimeout("hangs"), httpx.RemoteProtocolError("cut off"),
        httpx.Response(503), httpx.Response(200, text="kong_nginx_requests_total{} many"),
    ],
)  # fmt: skip
async def test_one_node_that_does_not_say_leaves_the_round_unread(
    failing: httpx.Response | Exception,
) -> None:
    gateway = answering(httpx.Response(200, text=""), failing)
    with pytest.raises(GatewayUnread, match="node1"):
        await gateway.read()
    await gateway.close()
