from __future__ import annotations

from pathlib import Path

import pytest

from metering.clients.geoip import GeoIpUnreadable, country_lookup
from tests.support.mmdb import mmdb


def test_the_country_of_an_address_is_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    path.write_bytes(mmdb({"203.0.113.0/25": "NL", "203.0.113.128/25": "DE", "10.0.0.0/8": "nowhere"}))
    country_of = country_lookup(path)
    assert [country_of(a) for a in ("203.0.113.77", "203.0.113.200", "198.51.100.1")] == ["NL", "DE", None]
    assert country_of("10.0.0.1") is None  # no code of two letters
    assert country_of("2001:db8::1") is None  # a file of IPv4 alone
    assert country_of("nonsense") is None


def test_without_a_file_no_country_is_known() -> None:
    assert country_lookup(None)("203.0.113.77") is None


def test_a_file_that_is_none_of_maxminds_ends_the_start(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    path.write_bytes(b"not a database")
    with pytest.raises(GeoIpUnreadable, match=r"countries\.mmdb"):
        country_lookup(path)
