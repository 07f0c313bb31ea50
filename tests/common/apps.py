"""A small service out of the shared parts, and clients that see it as a real server's clients would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import httpx
from fastapi import APIRouter, Depends, FastAPI, Response
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import JSONResponse

from common.db import Database
from common.errors import Conflict, Invalid
from common.http.app import create_service_app
from common.http.auth import Editor, Member, PublicCaller
from common.http.etag import IfMatch, etag, require_match
from common.http.idempotency import Idempotency
from common.http.transaction import Transaction, open_transaction
from common.ids import new_id
from common.settings import ServiceSettings
from tests.support.tokens import TokenMaker

INSERT = text("INSERT INTO note (id, organisation_id, body, version) VALUES (:id, :organisation, :body, 1)")
ALL = text("SELECT body FROM note ORDER BY body")


class NoteIn(BaseModel):
    body: str = Field(max_length=100)


class NoteOut(BaseModel):
    id: UUID
    secret: str | None


class AlreadyThere(Conflict):
    code = "ALREADY_THERE"


router = APIRouter()


@router.post("/notes", status_code=201)
async def create_note(body: NoteIn, caller: Editor, session: Transaction) -> dict[str, str]:
    note_id = new_id()
    values = {"id": note_id, "organisation": caller.organisation_id, "body": body.body}
    await session.execute(INSERT, values)
    return {"id": str(note_id)}


@router.post("/notes-committed-too-late", status_code=201)
async def create_note_late(
    body: NoteIn, caller: Editor, session: Annotated[AsyncSession, Depends(open_transaction)]
) -> dict[str, str]:
    """The same with FastAPI's default scope, for the proof that the scope matters."""
    return await create_note(body, caller, session)


@router.get("/notes")
async def list_notes(_: Member, session: Transaction) -> list[str]:
    """A query without a WHERE."""
    return list(await session.scalars(ALL))


@router.post("/keys", status_code=201, response_model=NoteOut)
async def create_key(
    body: NoteIn, caller: Editor, session: Transaction, idempotency: Idempotency
) -> JSONResponse:
    if replayed := await idempotency.replay():
        return replayed
    note_id = new_id()
    values = {"id": note_id, "organisation": caller.organisation_id, "body": body.body}
    await session.execute(INSERT, values)
    if body.body == "refused":
        raise Invalid("This one is refused.", field="body")
    if body.body == "slow":
        await asyncio.sleep(0.3)
    out = NoteOut(id=note_id, secret="mk_live_" + "s" * 49)
    return await idempotency.answer(201, out, stored=NoteOut(id=note_id, secret=None))


@router.put("/versioned")
async def change(_: PublicCaller, response: Response, if_match: IfMatch = None) -> dict[str, bool]:
    require_match(if_match, 7)
    response.headers["ETag"] = etag(8)
    return {"changed": True}


@router.get("/conflict")
async def conflict(_: PublicCaller) -> None:
    raise AlreadyThere("There is one already: use it.", note_id=UUID(int=7), version=3)


@router.get("/broken")
async def broken(_: PublicCaller) -> None:
    raise RuntimeError("the password is hunter2")


def sample_app(
    db: Database, settings: ServiceSettings, tokens: TokenMaker, *routers: APIRouter, **options: Any
) -> FastAPI:
    app = create_service_app(name="sample", settings=settings, routers=[router, *routers], db=db, **options)
    app.state.verifier = tokens.verifier
    return app


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that gets answers only, as over a socket: an error inside the app does not reach it."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://sample.test") as client:
        yield client


async def eventually(condition: Callable[[], Awaitable[bool]], *, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)
