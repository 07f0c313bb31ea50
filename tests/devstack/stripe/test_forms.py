import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.stripe.balances import processing_fee
from devstack.stripe.errors import ApiError
from devstack.stripe.forms import decode
from devstack.stripe.webhooks import signature


def test_nested_keys_become_hashes_and_arrays() -> None:
    params = decode(
        "lines[0][amount]=5&lines[1][period][start]=1&lines[10][amount]=7&expand[]=a&expand[]=b&x="
    )
    assert [line.integer("amount") for line in params.hashes("lines")] == [5, None, 7]
    assert params.hashes("lines")[1].hash("period").required_integer("start") == 1
    assert params.strings("expand") == ["a", "b"]
    assert params.text("x") is None
    assert "x" in params


@pytest.mark.parametrize("encoded", ["a=1&a[b]=2", "a[b]=2&a[b][c]=3", "[x]=1", "a[=1"])
def test_contradictory_or_broken_keys_are_refused(encoded: str) -> None:
    with pytest.raises(ApiError):
        decode(encoded)


def test_an_error_names_the_whole_parameter() -> None:
    with pytest.raises(ApiError) as caught:
        decode("lines[0][period][start]=soon").hashes("lines")[0].hash("period").integer("start")
    assert caught.value.param == "lines[0][period][start]"


@given(st.text(alphabet="ab[]=&01%", max_size=30))
def test_no_body_breaks_the_decoder(encoded: str) -> None:
    with contextlib.suppress(ApiError):
        decode(encoded).flat()


def test_the_order_of_parameters_does_not_matter_for_their_digest() -> None:
    assert decode("a=1&b[c]=2&b[d]=3").flat() == decode("b[d]=3&a=1&b[c]=2").flat()


def test_the_fee_is_one_and_a_half_percent_half_up_and_25() -> None:
    assert [processing_fee(amount) for amount in (100, 1900, 10_000, 33)] == [27, 54, 175, 25]


def test_a_signature_has_one_part_for_each_secret() -> None:
    header = signature(b"{}", ["whsec_a", "whsec_b"], 1_700_000_000)
    assert header.startswith("t=1700000000,v1=")
    assert header.count("v1=") == 2
