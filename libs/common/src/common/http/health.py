"""`/livez`, `/readyz`, `/health` and `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from common.db import Database
from common.http.auth import PublicCaller

Check = Callable[[], Awaitable[None]]
_SECONDS = 3.0


async def _state(check: Check) -> str:
    try:
        await asyncio.wait_for(check(), _SECONDS)
    except Exception:
        return "down"
    return "ok"


def health_router(checks: Mapping[str, Check]) -> APIRouter:
    """The router; `checks` are the outside parts whose state `/health` shows (readiness ignores them)."""
    router = APIRouter(tags=["health"])

    @router.get("/livez")
    async def livez(_: PublicCaller) -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz(request: Request, _: PublicCaller) -> JSONResponse:
        """The service's own database answers and is migrated; other parts may be away."""
        state = await _state(lambda: _migrated(request.app.state.db))
        return JSONResponse({"status": state}, status_code=200 if state == "ok" else 503)

    @router.get("/health")
    async def health(request: Request, _: PublicCaller) -> JSONResponse:
        """Every part that the service talks to; 503 when one is down."""
        every: dict[str, Check] = {"database": request.app.state.db.ping, **checks}
        states = await asyncio.gather(*(_state(check) for check in every.values()))
        found = dict(zip(every, states, strict=True))
        healthy = all(state == "ok" for state in found.values())
        body = {
            "status": "ok" if healthy else "degraded",
            "timestamp": request.app.state.clock.now().isoformat(),
            "checks": found,
        }
        return JSONResponse(body, status_code=200 if healthy else 503)

    @router.get("/metrics")
    async def metrics(_: PublicCaller) -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _migrated(db: Database) -> None:
    async with db.begin() as session:
        await session.execute(text("SELECT 'outbox'::regclass"))
