"""Kong's file-log, read as it grows: rotated away, truncated or cut in mid-line at any moment."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from metering.domain.file_position import FilePosition

_CHUNK_BYTES = 1024 * 1024
_LONGEST_LINE_BYTES = 4 * 1024 * 1024
_HEAD_BYTES = 256
_SETTLED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines, the position behind them, and the size of the file they are from."""

    lines: list[bytes]
    position: FilePosition
    file_bytes: int


def read_chunk(path: Path, after: FilePosition | None) -> Chunk | None:
    """The next whole lines after `after`; None when there are none yet.

    A last line without its end waits for it. A file that was renamed is read to its end before its successor is
    begun; one that was truncated, or replaced by another of the same inode, is begun again (repeats are told by
    their request ids).
    """
    if after is not None and (renamed := _renamed(path, after)) is not None:
        with renamed.open("rb") as file:
            settled = time.time() - os.fstat(file.fileno()).st_mtime > _SETTLED_SECONDS
            rest = _read(file, after.inode, after.position, is_final=settled)
        if rest is not None or not settled:  # Kong writes to a renamed file until it is told to open it again
            return rest
    try:
        with path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            same = after is not None and after.inode == inode and _is_same(file, after)
            return _read(file, inode, after.position if after is not None and same else 0, is_final=False)
    except FileNotFoundError:
        return None


def _renamed(path: Path, after: FilePosition) -> Path | None:
    """Where the file that we were reading is now, if not at `path` any more."""
    if path.exists() and path.stat().st_ino == after.inode:
        return None
    for sibling in sorted(path.parent.glob(f"{path.name}?*")):
        if sibling.stat().st_ino == after.inode:
            with sibling.open("rb") as file:
                return sibling if _is_same(file, after) else None
    return None


def _is_same(file: BinaryIO, after: FilePosition) -> bool:
    if os.fstat(file.fileno()).st_size < after.position:
        return False
    file.seek(0)
    return _digest(file.read(after.head_bytes)) == after.head_digest


def _read(file: BinaryIO, inode: int, position: int, *, is_final: bool) -> Chunk | None:
    file.seek(position)
    data = file.read(_CHUNK_BYTES)
    while data and b"\n" not in data and len(data) < _LONGEST_LINE_BYTES:
        more = file.read(_CHUNK_BYTES)
        if not more:
            break
        data += more
    end = data.rfind(b"\n") + 1
    if end == 0 and (is_final or len(data) >= _LONGEST_LINE_BYTES):
        end = len(data)  # no line of a log is that long: it is passed on to be refused
    if end == 0:
        return None
    file.seek(0)
    head = file.read(min(_HEAD_BYTES, position + end))
    lines = [line for line in data[:end].split(b"\n") if line.strip()]
    place = FilePosition(inode, position + end, _digest(head), len(head))
    return Chunk(lines, place, os.fstat(file.fileno()).st_size)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
