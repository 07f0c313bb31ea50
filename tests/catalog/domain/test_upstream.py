import pytest

from catalog.domain.errors import BadUpstream
from catalog.domain.upstream import checked_base_url


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://API.Example.com/v2/", "https://api.example.com/v2"),
        ("https://api.example.com:8443/a/b", "https://api.example.com:8443/a/b"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://[2606:4700::1111]/x", "https://[2606:4700::1111]/x"),
        ("https://my_host.example.com", "https://my_host.example.com"),
    ],
)
def test_public_addresses_are_taken(url: str, kept: str) -> None:
    assert checked_base_url(url, allow_loopback=False) == kept


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com", "ftp://api.example.com", "//api.example.com", "api.example.com", "https://",
        "https://user:pass@api.example.com", "https://user@api.example.com", "https://api.example.com?x=1",
        "https://api.example.com#x", "https://api.example.com/?", "https://api.example.com/a/../b",
        "https://api.example.com/a b", "https://api.example.com\\@evil.test", "https://api.example.com:99999",
        "https://api.example.com/\x00", "https://exa mple.com", "https://" + "a" * 600 + ".com",
        "https://api..example.com", "https://[::1", "https://-api.example.com",
    ],
)  # fmt: skip
def test_what_is_no_plain_https_address_is_refused(url: str) -> None:
    with pytest.raises(BadUpstream):
        checked_base_url(url, allow_loopback=False)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0.0.0.0", "10.0.0.1",
        "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255",
        "[::1]", "[::]", "[fd00::1]", "[fe80::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "localhost", "LOCALHOST", "localhost.", "foo.localhost", "db", "kong", "redis.internal",
        "a.local", "catalog.default.svc", "catalog.default.svc.cluster.local", "metadata.google.internal",
        "api.test", "256.256.256.256", "1.2.3.4.5",
    ],
)  # fmt: skip
def test_private_addresses_are_refused_however_they_are_spelled(host: str) -> None:
    with pytest.raises(BadUpstream):
        checked_base_url(f"https://{host}/x", allow_loopback=False)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8112", "http://localhost:8112/x", "https://localhost", "http://[::1]:80"]
)
def test_this_machine_is_allowed_by_the_setting_only(url: str) -> None:
    assert checked_base_url(url, allow_loopback=True) == url
    with pytest.raises(BadUpstream):
        checked_base_url(url, allow_loopback=False)


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1", "http://api.example.com", "https://192.168.0.1", "ftp://localhost", "http://db"],
)
def test_the_setting_allows_nothing_else(url: str) -> None:
    with pytest.raises(BadUpstream):
        checked_base_url(url, allow_loopback=True)
