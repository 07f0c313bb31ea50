"""Personal access tokens: `mkp_`, 43 base62 characters (32 random bytes), 6 characters of checksum."""

from __future__ import annotations

import hashlib
import string
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from accounts.domain.errors import ExpiryInThePast

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

PREFIX = "mkp_"
SECRET_BYTES = 32
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_CHARACTERS, _CHECK_CHARACTERS, _SHOWN_CHARACTERS = 43, 6, 12
_LONGEST_LIFE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A personal access token without its secret: it acts for its owner in one organisation."""

    id: UUID
    user_id: UUID
    organisation_id: UUID
    name: str
    prefix: str  # the first characters, to recognise it by
    sha256: str
    expires_at: datetime
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits.rjust(width, _ALPHABET[0])


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_CHARACTERS)


def write(secret: bytes) -> str:
    """The token that stands for 32 random bytes; shown once, never stored."""
    body = PREFIX + _base62(int.from_bytes(secret), _SECRET_CHARACTERS)
    return body + _checksum(body)


def is_well_formed(token: str) -> bool:
    """True when the form and the checksum are right, so that a typo never costs a look-up."""
    body, check = token[:-_CHECK_CHARACTERS], token[-_CHECK_CHARACTERS:]
    expected = len(PREFIX) + _SECRET_CHARACTERS
    return token.isascii() and token.startswith(PREFIX) and len(body) == expected and _checksum(body) == check


def digest(token: str) -> str:
    """What is stored and looked up: the SHA-256 in hexadecimal; 32 random bytes need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def shown_prefix(token: str) -> str:
    """The characters by which a list shows it."""
    return token[:_SHOWN_CHARACTERS]


def check_expiry(expires_at: datetime, *, now: datetime) -> datetime:
    """`expires_at` itself, after `now` and within 366 days."""
    if not now < expires_at <= now + _LONGEST_LIFE:
        raise ExpiryInThePast
    return expires_at


def is_live(token: AccessToken, *, now: datetime) -> bool:
    """True while it is neither revoked nor past its end."""
    return token.revoked_at is None and now < token.expires_at
