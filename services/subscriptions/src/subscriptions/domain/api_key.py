"""What an API key looks like, so that scanners, clients and the gateway can recognise one without asking us.

    mk_live_ + 43 base62 characters (32 random bytes) + 6 base62 characters (CRC-32 of all before them)

Only the first characters and the SHA-256 are ever stored.
"""

import hashlib
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_BYTES = 32
_RANDOM_CHARACTERS = 43
_CHECK_CHARACTERS = 6
_SHOWN_CHARACTERS = 12


class Mode(StrEnum):
    """Whether calls with the key are real ones."""

    LIVE = "live"
    TEST = "test"


class KeyStatus(StrEnum):
    """Where a key stands. EXPIRING: replaced by another, and good until its grace time ends."""

    ACTIVE = "active"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    REVOKED = "revoked"


USABLE = frozenset({KeyStatus.ACTIVE, KeyStatus.EXPIRING})
"""Statuses in which the gateway lets a key pass."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of a subscription, without the key itself. `version` rises by one with every change.

    `rate_limits` (calls by window) are this key's share of what its subscription allows; the subscription's other keys
    have what is left. `share_id` is the same for a key and those that it was rotated to: they use one share together.
    """

    id: UUID
    version: int
    subscription_id: UUID
    organisation_id: UUID
    api_id: UUID
    name: str
    prefix: str
    sha256: str
    created_at: datetime
    mode: Mode = Mode.LIVE
    status: KeyStatus = KeyStatus.ACTIVE
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    rate_limits: dict[str, int | None] | None = None
    share_id: UUID | None = None
    replaced_by: UUID | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """A key in the clear: shown once, then forgotten. Its text stays out of `repr`, so out of logs and tracebacks."""

    text: str = field(repr=False)

    @property
    def prefix(self) -> str:
        """What may be stored and shown so that people can tell keys apart."""
        return self.text[:_SHOWN_CHARACTERS]

    @property
    def sha256(self) -> str:
        """What the key is looked up by, as lower-case hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def make_secret(mode: Mode, *, random_bytes: bytes) -> Secret:
    """The key that spells `random_bytes`, which the caller draws from a source fit for secrets."""
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a key needs {RANDOM_BYTES} random bytes")
    body = f"mk_{mode}_{base62(int.from_bytes(random_bytes), width=_RANDOM_CHARACTERS)}"
    return Secret(body + checksum(body))


def is_well_formed(text: str) -> bool:
    """Whether `text` is spelled like a key and its checksum holds; says nothing about whether it exists."""
    head, rest = text[:8], text[8:]
    if head not in {"mk_live_", "mk_test_"} or len(rest) != _RANDOM_CHARACTERS + _CHECK_CHARACTERS:
        return False
    if not all(character in ALPHABET for character in rest):
        return False
    return checksum(text[:-_CHECK_CHARACTERS]) == text[-_CHECK_CHARACTERS:]


def checksum(body: str) -> str:
    """CRC-32 (IEEE, as in zlib) of `body`, its prefix included, as six base62 characters."""
    return base62(zlib.crc32(body.encode()), width=_CHECK_CHARACTERS)


def base62(number: int, *, width: int) -> str:
    """`number` in base 62 with 0-9, A-Z, a-z, padded on the left with zeros to `width`."""
    digits = ""
    while number:
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits.rjust(width, "0")
