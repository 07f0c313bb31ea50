"""What can be wrong, by name."""

from __future__ import annotations

from typing import ClassVar

from common.errors import Conflict, DomainError, Invalid, NotFound, TooLarge, Unauthenticated, Unavailable


class InvalidEntry(Exception):
    """A log entry that cannot be metered; `reason` goes beside it into the dead letters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Fenced(Exception):
    """The stored offsets are not where this consumer stopped: somebody else moved them, and it begins from them."""


class GatewayUnread(Exception):
    """A node of the gateway did not say what it has counted."""


class RootMissing(Conflict):
    """An hour is not over, or calls came late: its root is made soon."""

    code: ClassVar[str] = "ROOT_NOT_MADE"


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


class AlertRuleInvalid(Invalid):
    """The rule cannot be watched; `field` names what is wrong with it."""

    code: ClassVar[str] = "ALERT_RULE_INVALID"


class AlertSubjectUnknown(Invalid):
    """The rule watches a subscription or an API that is not the organisation's own."""

    code: ClassVar[str] = "ALERT_SUBJECT_UNKNOWN"


class AlertRuleNotFound(NotFound):
    """There is no such rule of this organisation."""

    code: ClassVar[str] = "ALERT_RULE_NOT_FOUND"


class TooManyAlertRules(Conflict):
    """The organisation has as many rules as one may have."""

    code: ClassVar[str] = "TOO_MANY_ALERT_RULES"


class AlertTestTooSoon(DomainError):
    """The rule was tested a moment ago: a test is a message to people."""

    status: ClassVar[int] = 429
    code: ClassVar[str] = "ALERT_TEST_TOO_SOON"


class StreamsTaken(Unavailable):
    """As many exports and live streams run as this process gives."""

    code: ClassVar[str] = "STREAMS_TAKEN"
