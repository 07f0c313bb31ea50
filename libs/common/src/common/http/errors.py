"""Errors as RFC 9457 problem details, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from starlette.exceptions import HTTPException

from common.errors import DomainError
from common.log import get_logger, redact

PROBLEM = "application/problem+json"
_TITLES = {
    400: "Bad request", 401: "Not authenticated", 402: "Payment failed", 403: "Not allowed", 404: "Not found",
    405: "Method not allowed", 409: "Conflict", 412: "Changed meanwhile", 413: "Too large",
    415: "Unsupported media type", 422: "Not valid", 429: "Too many requests", 500: "Internal error",
    503: "Not available",
}  # fmt: skip
_CODES = {
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}
# SQLSTATE classes of a server that lets us in no more, or not yet: connection, resources, shutdown, access, database.
_AWAY = ("08", "53", "57P", "28", "3D")
_NOT_STORABLE = "22021"
log = get_logger()


class FieldError(BaseModel):
    """One field that is wrong."""

    field: str
    message: str


class Problem(BaseModel):
    """The body of every error answer."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] | None = None


def problem_response(
    request: Request, *, status: int, code: str, detail: str,
    errors: list[FieldError] | None = None, members: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:  # fmt: skip
    """The problem as an answer; `members` are added beside the standard ones, as text."""
    problem = Problem(
        type=f"/problems/{code.lower().replace('_', '-')}", title=_TITLES.get(status, "Error"), status=status,
        detail=detail, code=code, request_id=getattr(request.state, "request_id", ""), errors=errors,
    )  # fmt: skip
    extra = {name: _plain(value) for name, value in (members or {}).items()}
    return JSONResponse(
        extra | problem.model_dump(exclude_none=True),
        status_code=status,
        media_type=PROBLEM,
        headers=dict(headers or {}),
    )


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | bool | list | dict | None) else str(value)


def error_responses(*errors: type[DomainError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI `responses=` of an endpoint that can raise `errors`."""
    by_status: dict[int | str, list[str]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error.code)
    return {
        status: {"model": Problem, "description": ", ".join(codes)} for status, codes in by_status.items()
    }


async def _domain_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DomainError)  # noqa: S101 - registered for this type only
    errors = [FieldError(field=error.field, message=error.detail)] if error.field else None
    headers = {"Retry-After": "1"} if error.status == 503 else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem_response(
        request, status=error.status, code=error.code, detail=error.detail, errors=errors, members=error.members,
        headers=headers,
    )  # fmt: skip


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [
        FieldError(field=".".join(str(part) for part in item["loc"]), message=str(item["msg"]))
        for item in error.errors()
    ]
    detail = "; ".join(f"{item.field}: {item.message}" for item in found[:5])
    return problem_response(request, status=422, code="VALIDATION_FAILED", detail=detail, errors=found)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = _CODES.get(error.status_code, "BAD_REQUEST")
    return problem_response(
        request, status=error.status_code, code=code, detail=str(error.detail), headers=error.headers
    )


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DBAPIError)  # noqa: S101
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if error.connection_invalidated or isinstance(error.orig, OSError) or state.startswith(_AWAY):
        return await _database_away(request, error)
    if state == _NOT_STORABLE:
        detail = "A text in this request holds a character that cannot be stored, such as NUL."
        return problem_response(request, status=422, code="VALIDATION_FAILED", detail=detail)
    return await unexpected_error(request, error)


async def _database_away(request: Request, error: Exception) -> JSONResponse:
    log.error("database.unavailable", error=redact(str(error)))
    return problem_response(
        request, status=503, code="UNAVAILABLE", detail="The database does not answer at the moment; try again.",
        headers={"Retry-After": "1"},
    )  # fmt: skip


async def unexpected_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to an error that nobody foresaw: logged whole, told without our insides."""
    log.error("request.failed", path=request.url.path, exc_info=error)
    detail = "Something went wrong on our side. Quote the request id when you ask about it."
    return problem_response(request, status=500, code="INTERNAL_ERROR", detail=detail)


def add_error_handlers(app: FastAPI) -> None:
    """Every error that is foreseen leaves `app` as a problem detail; RequestContext answers the others."""
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DBAPIError, _database_error)
    app.add_exception_handler(OSError, _database_away)
    app.add_exception_handler(PoolExhausted, _database_away)
