"""Keys as the platform issues them, made independently of its code."""

from __future__ import annotations

import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def checksum(text: str) -> str:
    """The CRC-32 of `text` as six base62 digits."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = ALPHABET[digit] + digits
    return digits


def a_key(body: str = "a" * 43, *, prefix: str = "mk_live_") -> str:
    """A well-formed key."""
    return prefix + body + checksum(prefix + body)
