"""An HTTP server that only reads and parses what is posted: what ingest cannot do without.

`python -m bench.metering_kit.parse_only PORT`.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

from bench.metering_kit.calls import NAMESPACE
from metering.domain.parse_log import parse


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The body is parsed as ingest parses it, and then forgotten."""
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if body:
        assert not parse(body, namespace=NAMESPACE).rejected
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="asyncio", log_config=None, access_log=False, lifespan="off")
