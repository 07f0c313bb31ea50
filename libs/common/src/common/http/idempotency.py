"""`Idempotency-Key`: the same request again gets the same answer, and takes effect once."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from common.errors import Invalid
from common.http.auth import ClaimsDep
from common.http.clock import ClockDep
from common.http.transaction import Transaction

REPLAYED = {"Idempotent-Replayed": "true"}

_CLAIM = text("""
    INSERT INTO idempotency_key (caller, key, request_hash, created_at) VALUES (:caller, :key, :hash, :now)
    ON CONFLICT DO NOTHING""")
_FIND = text("SELECT request_hash, status, answer FROM idempotency_key WHERE caller = :caller AND key = :key")
_STORE = text(
    "UPDATE idempotency_key SET status = :status, answer = :answer WHERE caller = :caller AND key = :key"
)


class IdempotencyKeyReused(Invalid):
    """The key was used for another request."""

    code = "IDEMPOTENCY_KEY_REUSED"


class IdempotentRequest:
    """One request under its key. Key, effect and answer are one transaction: none is there without the others."""

    def __init__(
        self, session: AsyncSession, *, caller: str, key: str | None, request_hash: bytes, now: Any
    ) -> None:
        self._session, self._caller, self._key = session, caller, key
        self._hash, self._now = request_hash, now

    async def replay(self) -> JSONResponse | None:
        """The stored answer if this request was made before, else None and the key is claimed.

        The claim waits for a request with the same key that is under way. IdempotencyKeyReused when the key belongs
        to another request.
        """
        if self._key is None:
            return None
        names = {"caller": self._caller, "key": self._key}
        await self._session.execute(_CLAIM, {**names, "hash": self._hash, "now": self._now})
        row = (await self._session.execute(_FIND, names)).one()
        if bytes(row.request_hash) != self._hash:
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used for another request: use a new one for a new request.",
                field="header.Idempotency-Key",
            )
        if row.status is None:
            return None
        return JSONResponse(row.answer, status_code=row.status, headers=REPLAYED)

    async def answer(self, status: int, out: BaseModel, *, stored: BaseModel | None = None) -> JSONResponse:
        """Answer with `out` and keep it for a replay; `stored` is kept instead where `out` holds a secret."""
        if self._key is not None:
            kept = jsonable_encoder(stored if stored is not None else out)
            values = {"caller": self._caller, "key": self._key, "status": status, "answer": json.dumps(kept)}
            kept_rows = (await self._session.execute(_STORE, values)).rowcount  # type: ignore[attr-defined]
            if (
                kept_rows != 1
            ):  # the scope was changed since the claim: failing beats a key that replays nothing
                raise RuntimeError("the answer of an idempotent request could not be kept")
        return JSONResponse(jsonable_encoder(out), status_code=status)


async def _idempotent_request(
    request: Request, session: Transaction, claims: ClaimsDep, clock: ClockDep,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> IdempotentRequest:  # fmt: skip
    body = await request.body()
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).digest()
    # The organisation first: row-level security compares it.
    caller = f"{claims.organisation_id or ''}:{claims.user_id}" if claims else ":anonymous"
    return IdempotentRequest(
        session, caller=caller, key=idempotency_key, request_hash=digest, now=clock.now()
    )


Idempotency = Annotated[IdempotentRequest, Depends(_idempotent_request, scope="function")]
