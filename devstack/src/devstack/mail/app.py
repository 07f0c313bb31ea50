"""What came, over HTTP."""

from __future__ import annotations

import html
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from devstack.mail.store import Store


def create_app(store: Store) -> Starlette:
    """`GET /` for people, `GET` and `DELETE /messages` for programs, the newest first."""

    async def listed(request: Request) -> Response:
        if request.method == "DELETE":
            store.clear()
            return Response(status_code=204)
        wanted = request.query_params.get("to")
        found = [asdict(m) for m in store.messages.values() if wanted is None or wanted in m.recipients]
        return JSONResponse({"items": found[::-1]})

    async def page(_: Request) -> Response:
        rows = "".join(
            f"<tr><td>{html.escape(m.date)}<td>{html.escape(', '.join(m.recipients))}"
            f"<td>{html.escape(m.subject)}<td><pre>{html.escape(m.text)}</pre>"
            for m in reversed(store.messages.values())
        )
        head = "<tr><th>sent<th>to<th>subject<th>text"
        return HTMLResponse(f"<title>Mail</title><h1>Mail</h1><table>{head}{rows}</table>")

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/", page),
            Route("/messages", listed, methods=["GET", "DELETE"]),
            Route("/livez", livez),
        ]
    )
