import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.domain.api_key import ALPHABET, Mode, base62, checksum, is_well_formed, make_secret

ZEROS, ONES = bytes(32), b"\xff" * 32

# Fixed vectors: the gateway's Lua and any client library must agree with every one of them.
VECTORS = [
    (Mode.LIVE, ZEROS, "mk_live_" + "0" * 43),
    (Mode.TEST, ZEROS, "mk_test_" + "0" * 43),
    (Mode.LIVE, bytes(31) + b"\x01", "mk_live_" + "0" * 42 + "1"),
    (Mode.LIVE, bytes(31) + b"\x3e", "mk_live_" + "0" * 41 + "10"),
]


def test_the_alphabet_is_digits_then_capitals_then_small_letters() -> None:
    assert string.digits + string.ascii_uppercase + string.ascii_lowercase == ALPHABET


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (9, "9"), (10, "A"), (35, "Z"), (36, "a"), (61, "z")])
def test_digits_of_base_62(number: int, text: str) -> None:
    assert base62(number, width=1) == text


def test_crc_32_is_the_one_of_zip_and_ethernet() -> None:
    assert zlib.crc32(b"123456789") == 0xCBF43926
    assert checksum("123456789") == base62(0xCBF43926, width=6) == "3jZRME"


@pytest.mark.parametrize(("mode", "random_bytes", "body"), VECTORS)
def test_the_body_spells_the_random_bytes(mode: Mode, random_bytes: bytes, body: str) -> None:
    assert make_secret(mode, random_bytes=random_bytes).text == body + checksum(body)


@pytest.mark.parametrize(
    ("mode", "random_bytes", "key"),
    [
        (Mode.LIVE, ZEROS, "mk_live_000000000000000000000000000000000000000000024jeos"),
        (Mode.TEST, ZEROS, "mk_test_00000000000000000000000000000000000000000001uCkeY"),
        (Mode.LIVE, ONES, "mk_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp140ZPmE"),
        (Mode.TEST, bytes(range(32)), "mk_test_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1GQ9O6"),
    ],
)
def test_whole_keys(mode: Mode, random_bytes: bytes, key: str) -> None:
    assert make_secret(mode, random_bytes=random_bytes).text == key
    assert is_well_formed(key)


def test_what_is_stored_is_a_prefix_and_a_hash() -> None:
    secret = make_secret(Mode.LIVE, random_bytes=ZEROS)
    assert secret.prefix == "mk_live_0000"
    assert secret.sha256 == "712f2489de5bfc8d0fd61f304c31dcca607c56068c917f4f83f35058cb595c5d"


def test_a_secret_does_not_show_itself() -> None:
    secret = make_secret(Mode.LIVE, random_bytes=ONES)
    assert secret.text not in repr(secret)
    assert secret.text not in str([secret])


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_nothing_but_32_random_bytes_makes_a_key(length: int) -> None:
    with pytest.raises(ValueError, match="32"):
        make_secret(Mode.LIVE, random_bytes=bytes(length))


@given(st.sampled_from(Mode), st.binary(min_size=32, max_size=32))
def test_every_key_is_well_formed_and_57_characters_long(mode: Mode, random_bytes: bytes) -> None:
    text = make_secret(mode, random_bytes=random_bytes).text
    assert is_well_formed(text)
    assert len(text) == 57


@given(st.binary(min_size=32, max_size=32), st.integers(8, 56), st.sampled_from(ALPHABET))
def test_any_one_wrong_character_is_noticed(random_bytes: bytes, place: int, character: str) -> None:
    text = make_secret(Mode.LIVE, random_bytes=random_bytes).text
    wrong = text[:place] + character + text[place + 1 :]
    assert is_well_formed(wrong) is (wrong == text)


@given(st.binary(min_size=32, max_size=32))
def test_a_live_key_is_no_test_key(random_bytes: bytes) -> None:
    text = make_secret(Mode.LIVE, random_bytes=random_bytes).text
    assert not is_well_formed(text.replace("live", "test"))


@pytest.mark.parametrize("text", ["", "mk_live_", "x" * 57, "mk_live_" + "-" * 49, "mk_live_" + "é" * 49])
def test_other_texts_are_no_keys(text: str) -> None:
    assert not is_well_formed(text)
