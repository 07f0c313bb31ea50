"""Parquet, written as it is made: one row group for each page of rows, the footer at the end.

The least that readers ask for: flat rows, every column nullable, PLAIN values, uncompressed
(https://parquet.apache.org/docs/file-format/, parquet.thrift in Thrift's compact protocol).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

_MAGIC = b"PAR1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12  # Thrift's types
_PLAIN, _RLE = 0, 3


class Kind(Enum):
    """What a column holds: Parquet's physical type, and what it stands for (a ConvertedType)."""

    BOOLEAN = (0, None)
    INTEGER = (2, None)
    TIMESTAMP = (2, 10)  # microseconds, UTC
    TEXT = (6, 0)


@dataclass(frozen=True, slots=True)
class _Chunk:
    column: int
    offset: int
    size: int
    rows: int


class ParquetWriter:
    """Makes the bytes of one file; it keeps only where each chunk lies, about 60 bytes a column and page."""

    def __init__(self, columns: Sequence[tuple[str, Kind]]) -> None:
        self._columns = columns
        self._groups: list[list[_Chunk]] = []
        self._written = 0

    def begin(self) -> bytes:
        """What a file begins with."""
        return self._count(_MAGIC)

    def page(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """A row group of `rows`: values in the order of the columns, None where there is none."""
        group, parts = [], []
        for number, (_, kind) in enumerate(self._columns):
            chunk = _data_page([row[number] for row in rows], kind)
            group.append(_Chunk(number, self._written, len(chunk), len(rows)))
            parts.append(self._count(chunk))
        self._groups.append(group)
        return b"".join(parts)

    def end(self) -> bytes:
        """The footer: without it a file that was cut short cannot be taken for a whole one."""
        root = _struct((4, _BINARY, _text("usage")), (5, _I32, _varint(2 * len(self._columns))))
        schema = [root, *(_schema_element(name, kind) for name, kind in self._columns)]
        rows = sum(group[0].rows for group in self._groups)
        footer = _struct(
            (1, _I32, _varint(2)), (2, _LIST, _list(_STRUCT, schema)), (3, _I64, _varint(2 * rows)),
            (4, _LIST, _list(_STRUCT, [self._row_group(group) for group in self._groups])),
        )  # fmt: skip
        return footer + struct.pack("<I", len(footer)) + _MAGIC

    def _count(self, data: bytes) -> bytes:
        self._written += len(data)
        return data

    def _row_group(self, group: Sequence[_Chunk]) -> bytes:
        size = sum(chunk.size for chunk in group)
        return _struct(
            (1, _LIST, _list(_STRUCT, [self._column_chunk(chunk) for chunk in group])),
            (2, _I64, _varint(2 * size)), (3, _I64, _varint(2 * group[0].rows)),
        )  # fmt: skip

    def _column_chunk(self, chunk: _Chunk) -> bytes:
        name, kind = self._columns[chunk.column]
        encodings = [_varint(2 * _PLAIN), _varint(2 * _RLE)]
        meta = _struct(
            (1, _I32, _varint(2 * kind.value[0])), (2, _LIST, _list(_I32, encodings)),
            (3, _LIST, _list(_BINARY, [_text(name)])), (4, _I32, _varint(0)), (5, _I64, _varint(2 * chunk.rows)),
            (6, _I64, _varint(2 * chunk.size)), (7, _I64, _varint(2 * chunk.size)),
            (9, _I64, _varint(2 * chunk.offset)),
        )  # fmt: skip
        return _struct((2, _I64, _varint(2 * chunk.offset)), (3, _STRUCT, meta))


def _schema_element(name: str, kind: Kind) -> bytes:
    physical, stands_for = kind.value
    fields = [(1, _I32, _varint(2 * physical)), (3, _I32, _varint(2)), (4, _BINARY, _text(name))]
    if stands_for is not None:
        fields.append((6, _I32, _varint(2 * stands_for)))
    return _struct(*fields)


def _data_page(values: Sequence[Any], kind: Kind) -> bytes:
    there = [value for value in values if value is not None]
    levels = _bits([value is not None for value in values])
    levels = _varint((len(levels) << 1) | 1) + levels  # bit-packed, in groups of eight
    body = struct.pack("<I", len(levels)) + levels + _plain(there, kind)
    page = _struct(
        (1, _I32, _varint(2 * len(values))), (2, _I32, _varint(2 * _PLAIN)), (3, _I32, _varint(2 * _RLE)),
        (4, _I32, _varint(2 * _RLE)),
    )  # fmt: skip
    size = _varint(2 * len(body))
    return _struct((1, _I32, _varint(0)), (2, _I32, size), (3, _I32, size), (5, _STRUCT, page)) + body


def _plain(values: Sequence[Any], kind: Kind) -> bytes:
    if kind is Kind.BOOLEAN:
        return _bits(values)
    if kind is Kind.INTEGER:
        return struct.pack(f"<{len(values)}q", *values)
    if kind is Kind.TIMESTAMP:
        return struct.pack(f"<{len(values)}q", *((value - _EPOCH) // _MICROSECOND for value in values))
    encoded = [str(value).encode() for value in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def _bits(values: Sequence[bool]) -> bytes:
    packed = bytearray(-(-len(values) // 8))
    for number, value in enumerate(values):
        if value:
            packed[number // 8] |= 1 << number % 8
    return bytes(packed)


def _varint(number: int) -> bytes:
    """A number of seven bits a byte. Thrift's integers are zigzag, so that a number of 0 or more is written doubled."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _varint(len(encoded)) + encoded


def _list(kind: int, items: Sequence[bytes]) -> bytes:
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind]) + _varint(len(items))
    return head + b"".join(items)


def _struct(*fields: tuple[int, int, bytes]) -> bytes:
    parts, before = [], 0
    for number, kind, value in fields:
        parts += [bytes([(number - before) << 4 | kind]), value]
        before = number
    return b"".join(parts) + b"\0"
