from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.domain.client import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:aaaa:bbbb:cccc::1", "2001:db8:aaaa::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),  # as a socket for both families names an IPv4 client
        ("fe80::1%eth0", "fe80::/48"),
        ("", None),
        ("unix:", None),
        ("203.0.113.77, 10.0.0.1", None),
        ("203.0.113.0/24", None),
    ],
)
def test_of_an_address_its_network_is_left(address: str, network: str | None) -> None:
    assert network_of(address) == network


@given(st.ip_addresses(v=4), st.integers(0, 255))
def test_no_two_clients_of_a_network_can_be_told_apart(address: object, last: int) -> None:
    other = str(address).rpartition(".")[0] + f".{last}"
    assert network_of(str(address)) == network_of(other)
