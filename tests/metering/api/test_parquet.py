from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from datetime import UTC, datetime

from metering.api.parquet import Kind, ParquetWriter

COLUMNS = [("at", Kind.TIMESTAMP), ("name", Kind.TEXT), ("calls", Kind.INTEGER), ("billable", Kind.BOOLEAN)]
ROWS = [
    (datetime(2026, 11, 15, 11, 30, 0, 1_000, tzinfo=UTC), "a", 1, True), (None, None, None, None),
    (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), "größer", -(2**62), False),
]  # fmt: skip


def written(*pages: Sequence[tuple[object, ...]]) -> bytes:
    writer = ParquetWriter(COLUMNS)
    return writer.begin() + b"".join(writer.page(page) for page in pages) + writer.end()


def test_a_file_is_what_other_readers_have_read() -> None:
    """The digest is of a file that arro3 0.9.1 (Apache Arrow's Rust implementation) read back, row by row."""
    file = written(ROWS * 300, ROWS)
    assert (
        hashlib.sha256(file).hexdigest() == "cb46e79b7059fe3ec94b22e1591120956febc69a360c553138a755add5e13639"
    )


def test_a_file_ends_with_the_length_of_its_footer() -> None:
    for file in (written(), written([ROWS[0]])):
        (length,) = struct.unpack("<I", file[-8:-4])
        assert (file[:4], file[-4:]) == (b"PAR1", b"PAR1")
        assert b"usage" in file[-8 - length : -8]  # the schema's root
