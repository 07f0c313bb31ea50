"""Where a call came from: the network of the client's address, never the address itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

# The ISO 3166-1 code of the country of an address; None where it is not known.
CountryOf = Callable[[str], str | None]

_KEPT_BITS = {4: 24, 6: 48}


def nowhere(_: str) -> None:
    """Without a GeoIP file no country is known."""
    return


@lru_cache(maxsize=65_536)
def network_of(address: str) -> str | None:
    """The /24 of an IPv4 address, the /48 of an IPv6 one: no single client, yet where it is. None for anything else."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    # An IPv6 address may bear a zone ("%eth0"): packed has none.
    return str(ip_network((parsed.packed, _KEPT_BITS[parsed.version]), strict=False))
