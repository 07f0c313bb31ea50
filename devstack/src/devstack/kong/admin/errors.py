"""Refusals in Kong's shape."""

from __future__ import annotations

from typing import Any

from devstack.kong.fields import Json, Problems, describe


class Refused(Exception):
    """Ends a call to the Admin API with this status and body."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(body.get("message"))
        self.status = status
        self.body = body


def not_found() -> Refused:
    return Refused(404, {"message": "Not found"})


def schema_violation(problems: dict[str, Problems]) -> Refused:
    body = {"message": describe(problems), "fields": problems, "name": "schema violation", "code": 2}
    return Refused(400, body)


def foreign_key_violation(message: str, fields: Json) -> Refused:
    return Refused(400, {"message": message, "fields": fields, "name": "foreign key violation", "code": 4})


def unique_violation(fields: Json) -> Refused:
    message = f"UNIQUE violation detected on '{lua_literal(fields)}'"
    return Refused(
        409, {"message": message, "fields": fields, "name": "unique constraint violation", "code": 5}
    )


def invalid_offset(offset: str) -> Refused:
    message = f"'{offset}' is not a valid offset: bad base64 encoding"
    return Refused(400, {"message": message, "name": "invalid offset", "code": 7})


def invalid_size(said: str) -> Refused:
    return Refused(400, {"message": said, "name": "invalid size", "code": 9})


def unsupported(operation: str, kind: str) -> Refused:
    message = f"cannot {operation} '{kind}' entities when not using a database"
    return Refused(405, {"message": message, "name": "operation unsupported", "code": 12})


def lua_literal(value: Any) -> str:
    """A value as Kong's messages print it: `{name="a",service={id="..."}}`."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_lua_key(key)}={lua_literal(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        sparse = None in value
        items = [(index, item) for index, item in enumerate(value, 1) if item is not None]
        return "{" + ",".join((f"[{i}]=" if sparse else "") + lua_literal(item) for i, item in items) + "}"
    if value is None:
        return "null"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _lua_key(key: str) -> str:
    return key if key.isidentifier() else f'["{key}"]'
