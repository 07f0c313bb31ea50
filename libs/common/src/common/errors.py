"""The kinds of domain error, each with the HTTP status it becomes at the edge. Pure: `domain/` may import it.

    DomainError
    ├── Invalid             422  the request breaks a rule; `field` names the place
    ├── Unauthenticated     401
    ├── PaymentRequired     402
    ├── Forbidden           403
    ├── NotFound            404
    ├── Conflict            409
    ├── PreconditionFailed  412
    ├── TooLarge            413
    └── Unavailable         503  try again later

A service derives one class per situation and gives it a stable `code`.
"""

from __future__ import annotations

from typing import ClassVar


class DomainError(Exception):
    """A rule that was broken: `code` for machines (public, never renamed), `detail` for people, with the cure."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "BAD_REQUEST"

    def __init__(self, detail: str, *, field: str | None = None, **members: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.members = members


class Invalid(DomainError):
    """The request is well-formed and breaks a rule."""

    status = 422
    code = "VALIDATION_FAILED"


class Unauthenticated(DomainError):
    """No token, or one that does not hold."""

    status = 401
    code = "UNAUTHENTICATED"


class PaymentRequired(DomainError):
    """A payment failed or is due."""

    status = 402
    code = "PAYMENT_FAILED"


class Forbidden(DomainError):
    """The caller is known and may not do this."""

    status = 403
    code = "FORBIDDEN"


class NotFound(DomainError):
    """There is no such thing, or the caller may not know of it."""

    status = 404
    code = "NOT_FOUND"


class Conflict(DomainError):
    """The present state does not allow it."""

    status = 409
    code = "CONFLICT"


class PreconditionFailed(DomainError):
    """Somebody else changed it since the caller read it."""

    status = 412
    code = "PRECONDITION_FAILED"


class TooLarge(DomainError):
    """The body is larger than allowed."""

    status = 413
    code = "REQUEST_TOO_LARGE"


class Unavailable(DomainError):
    """Something that is needed does not answer; nothing was changed."""

    status = 503
    code = "UNAVAILABLE"
