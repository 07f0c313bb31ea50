"""What can be wrong, by name."""

from __future__ import annotations

from typing import ClassVar

from common.errors import DomainError, Invalid, TooLarge, Unauthenticated, Unavailable


class InvalidEntry(Exception):
    """A log entry that cannot be metered; `reason` goes beside it into the dead letters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Fenced(Exception):
    """The stored offsets are not where this consumer stopped: somebody else moved them, and it begins from them."""


class IngestTokenWrong(Unauthenticated):
    """The ingest token is missing or wrong."""

    code: ClassVar[str] = "INGEST_TOKEN_INVALID"


class BatchTooLarge(TooLarge):
    """More bytes than one POST may carry, packed or unpacked."""

    code: ClassVar[str] = "REQUEST_TOO_LARGE"


class EncodingUnsupported(DomainError):
    """A content encoding that is neither identity nor gzip."""

    status: ClassVar[int] = 415
    code: ClassVar[str] = "UNSUPPORTED_MEDIA_TYPE"


class LogUnavailable(Unavailable):
    """Kafka did not acknowledge, or the dead letters could not be written: nothing counts as taken, send it again."""

    code: ClassVar[str] = "INGEST_UNAVAILABLE"


class RangeInvalid(Invalid):
    """`from`, `to` and `period` do not make a range that can be answered."""

    code: ClassVar[str] = "RANGE_INVALID"
