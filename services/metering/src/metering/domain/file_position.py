"""A place in a log file that may be rotated away or truncated at any time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FilePosition:
    """The next unread byte of the file with this inode; its first `head_bytes` bytes tell it from a successor."""

    inode: int
    position: int
    head_digest: str
    head_bytes: int
