"""Merkle trees over calls, as RFC 6962 section 2.1 has them: one hash stands for an hour's calls of a subscription.

Leaves and inner nodes are hashed with different prefixes, so that none passes for the other. Leaves are sorted by
request id, so that the two neighbours of a gap prove that a call is not in between.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Leaf(NamedTuple):
    """One call: what is billed by, and when it began (milliseconds since 1970)."""

    request_id: bytes
    started_at_ms: int
    billable: bool
    units: int

    @property
    def data(self) -> bytes:
        """Numbers first: whatever bytes a request id has, no two calls give the same data."""
        return b"%d %d %d %b" % (self.started_at_ms, self.billable, self.units, self.request_id)


def leaf_hash(data: bytes) -> bytes:
    """SHA-256 of 0x00 and the data."""
    return hashlib.sha256(b"\x00" + data).digest()


def _inner(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of leaves with these hashes; of none, that of nothing."""
    if not hashes:
        return hashlib.sha256().digest()
    level = list(hashes)
    # Level by level, a last one without a partner going up as it is: the same tree as RFC 6962's recursion.
    while len(level) > 1:
        pairs = [_inner(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = [*pairs, level[-1]] if len(level) % 2 else pairs
    return level[0]


def path_of(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """The audit path of leaf `index`, from the leaf to the root."""
    if len(hashes) == 1:
        return []
    middle = _split(len(hashes))
    if index < middle:
        return [*path_of(index, hashes[:middle]), root_of(hashes[middle:])]
    return [*path_of(index - middle, hashes[middle:]), root_of(hashes[:middle])]


@dataclass(frozen=True, slots=True)
class Member:
    """A leaf, where it stands, and its audit path."""

    index: int
    leaf: Leaf
    path: list[bytes]


def prove(request_id: bytes, leaves: Sequence[Leaf]) -> tuple[bool, list[Member]]:
    """Whether the sorted `leaves` hold the call, and what proves it: its own leaf, or the neighbours of its place."""
    hashes = [leaf_hash(leaf.data) for leaf in leaves]
    place = bisect_left(leaves, request_id, key=lambda leaf: leaf.request_id)
    is_in = place < len(leaves) and leaves[place].request_id == request_id
    shown = [place] if is_in else [i for i in (place - 1, place) if 0 <= i < len(leaves)]
    return is_in, [Member(index, leaves[index], path_of(index, hashes)) for index in shown]
