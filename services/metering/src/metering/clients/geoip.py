"""A MaxMind file (GeoLite2-Country, or any mmdb with `country.iso_code`): the country of an address."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import maxminddb

from metering.domain.client import CountryOf, nowhere


class GeoIpUnreadable(Exception):
    """The file that the settings name is no MaxMind file."""


def country_lookup(path: Path | None) -> CountryOf:
    """How the country of an address is found: by the file as it is now, or, without one, never."""
    if path is None:
        return nowhere
    try:
        reader = maxminddb.open_database(path)
    except (maxminddb.InvalidDatabaseError, OSError) as error:
        raise GeoIpUnreadable(f"{path} cannot be read as a MaxMind file: {error}") from error

    @lru_cache(maxsize=65_536)
    def country_of(address: str) -> str | None:
        try:
            found = reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):  # an IPv6 address and a file of IPv4 alone
            return None
        country = found.get("country") if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) and len(code) == 2 else None

    return country_of
