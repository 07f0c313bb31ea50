"""A MaxMind file of some IPv4 networks, as `maxminddb` reads it (MaxMind DB file format specification 2.0)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

_UINT16, _UINT32, _MAP, _STRING, _ARRAY, _UINT64 = 5, 6, 7, 2, 11, 9


def mmdb(networks: Mapping[str, str]) -> bytes:
    """A file that knows the country of each of `networks`, which must not overlap."""
    nodes: list[list[int | bytes | None]] = [[None, None]]
    for network, country in networks.items():
        parsed = ip_network(network)
        bits = f"{int(parsed.network_address):032b}"[: parsed.prefixlen]
        node = 0
        for bit in bits[:-1]:
            below = nodes[node][int(bit)]
            if below is None:
                nodes.append([None, None])
                below = nodes[node][int(bit)] = len(nodes) - 1
            assert isinstance(below, int)
            node = below
        nodes[node][int(bits[-1])] = _encode({"country": {"iso_code": country}})
    data, tree = b"", b""
    for pair in nodes:
        for record in pair:
            if isinstance(record, bytes):
                value = len(nodes) + 16 + len(data)
                data += record
            else:
                value = len(nodes) if record is None else record
            tree += value.to_bytes(3, "big")
    metadata = {
        "node_count": (_UINT32, len(nodes)), "record_size": (_UINT16, 24), "ip_version": (_UINT16, 4),
        "database_type": "Test-Country", "languages": ["en"], "binary_format_major_version": (_UINT16, 2),
        "binary_format_minor_version": (_UINT16, 0), "build_epoch": (_UINT64, 1), "description": {"en": "test"},
    }  # fmt: skip
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _encode(metadata)


def _encode(value: object) -> bytes:
    if isinstance(value, str):
        return _control(_STRING, len(value)) + value.encode()
    if isinstance(value, dict):
        return _control(_MAP, len(value)) + b"".join(_encode(k) + _encode(v) for k, v in value.items())
    if isinstance(value, list):
        return _control(_ARRAY, len(value)) + b"".join(map(_encode, value))
    assert isinstance(value, tuple)
    kind, number = value
    assert isinstance(number, int)
    encoded: bytes = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return _control(kind, len(encoded)) + encoded


def _control(kind: int, size: int) -> bytes:
    assert size < 29, "longer values have another form"
    return bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])
