"""`POST /v1/admin/republish`: an owner puts the present state of all its aggregates into the outbox again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from common.http.auth import PlatformAdmin
from common.http.clock import ClockDep
from common.http.transaction import Transaction


class RepublishOut(BaseModel):
    """How many events went into the outbox."""

    events: int


def republish_router(republish: Callable[[AsyncSession, datetime], Awaitable[int]]) -> APIRouter:
    """The endpoint, for a service whose use case is `republish(session, now)`."""
    router = APIRouter(tags=["admin"])

    @router.post("/v1/admin/republish", status_code=202)
    async def republish_state(_: PlatformAdmin, session: Transaction, clock: ClockDep) -> RepublishOut:
        """Publish every aggregate again, so that a reader can rebuild its copy. The same versions, the same ids."""
        return RepublishOut(events=await republish(session, clock.now()))

    return router
