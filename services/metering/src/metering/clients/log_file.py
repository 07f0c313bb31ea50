"""Kong's file-log, read as it grows: rotated away, truncated or cut in mid-line at any moment.

Both ways of rotating are followed, also while nobody reads: by renaming (`kong.log` → `kong.log.1`; a new file takes
its place) and by copying and truncating (the copy is told by its first bytes). What a rotation has already compressed
or deleted cannot be read.
"""

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
# Long enough to hold a whole entry, with its request id: the beginnings of entries are alike.
_HEAD_BYTES = 4096
_SETTLED_SECONDS = 5.0
_COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines, the position behind them, and the size of the file they are from."""

    lines: list[bytes]
    position: FilePosition
    file_bytes: int


def read_chunk(path: Path, after: FilePosition | None) -> Chunk | None:
    """The next whole lines after `after`, or from the start of `path`; None when there are none yet.

    A last line without its end waits for it. A file that was rotated away is read to its end before the next one is
    begun. When the file of `after` is nowhere any more, the oldest that is left is begun (repeats are told by their
    request ids).
    """
    return _look(path, after)[0]


def is_read_to_end(path: Path, after: FilePosition) -> bool:
    """True when nothing follows `after`: no whole line, in no file. False when its file is nowhere."""
    return _look(path, after) == (None, True)


def beginning(path: Path) -> FilePosition | None:
    """The start of the oldest file that is left of the log at `path`; None when there is none."""
    for file in _files(path):
        return FilePosition(file.stat().st_ino, 0, _digest(b""), 0)
    return None


def _files(path: Path) -> list[Path]:
    """What rotations have left, the oldest first, and at last the file that is written to, if it is there."""
    rotated = [
        (file.stat().st_mtime_ns, file)
        for file in path.parent.glob(f"{path.name}?*")
        if file.suffix not in _COMPRESSED
    ]
    return [file for _, file in sorted(rotated)] + [path] * path.exists()


def _look(path: Path, after: FilePosition | None) -> tuple[Chunk | None, bool]:
    """The next lines; without any, whether that is because all was read."""
    try:
        if after is None:
            return _read_file(path, 0, is_final=False), False
        files = _files(path)
        at, position = _place(files, after)
        if at is None:
            return None, False
        for number, file in enumerate(files[at:], start=at):
            is_rotated = file != path
            # Kong may write to a renamed file until it opens the log again.
            is_settled = is_rotated and time.time() - file.stat().st_mtime > _SETTLED_SECONDS
            chunk = _read_file(file, position, is_final=is_settled, expected=after if number == at else None)
            if chunk is not None or (is_rotated and not is_settled):
                return chunk, False
            position = 0
    except FileNotFoundError:  # rotated away between two looks: the next one finds it
        return None, False
    return None, True


def _place(files: list[Path], after: FilePosition) -> tuple[int | None, int]:
    """In which of `files` the next byte is, and where in it; no file at all: None."""
    copies = []
    truncated = None
    for number, path in enumerate(files):
        with path.open("rb") as file:
            same = _is_same(file, after)
            if os.fstat(file.fileno()).st_ino == after.inode:
                if same:
                    return number, after.position
                truncated = number
            elif same and after.head_bytes:
                copies.append(number)
    if copies:
        return copies[-1], after.position
    if truncated is not None:
        return truncated, 0
    return (0 if files else None), 0


def _read_file(
    path: Path, position: int, *, is_final: bool, expected: FilePosition | None = None
) -> Chunk | None:
    with path.open("rb") as file:
        if position and expected is not None and not _is_same(file, expected):
            raise FileNotFoundError(path)  # another has taken its name
        return _read(file, os.fstat(file.fileno()).st_ino, position, is_final=is_final)


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
