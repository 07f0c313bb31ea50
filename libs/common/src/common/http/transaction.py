"""One transaction per request, committed before the response leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from common.db import Database
from common.http.auth import ClaimsDep, scope_of


def _database(request: Request) -> Database:
    return cast("Database", request.app.state.db)


DatabaseDep = Annotated[Database, Depends(_database)]


async def open_transaction(database: DatabaseDep, claims: ClaimsDep) -> AsyncIterator[AsyncSession]:
    """A session whose transaction sees the caller's rows; an error in the handler rolls it back."""
    async with database.begin(scope_of(claims)) as session:
        yield session


# scope="function" makes the first line of this file true: by default FastAPI leaves a dependency only after the
# response was sent, and a commit that fails then has already been answered with a success.
Transaction = Annotated[AsyncSession, Depends(open_transaction, scope="function")]
