"""Where the gateway may send calls: public HTTPS addresses, so that nobody reaches into our network."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from catalog.domain.errors import BadUpstream

_PRIVATE_SUFFIXES = (
    ".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".home.arpa",
    ".cluster.local", ".svc", ".onion", ".test", ".invalid",
)  # fmt: skip
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", re.ASCII)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_6TO4 = ipaddress.ip_network("2002::/16")


def checked_base_url(url: str, *, allow_loopback: bool) -> str:
    """The URL without its trailing slash, when calls may be sent there.

    Names are judged by their text alone: what a name resolves to is decided by the gateway at each call, and
    its network has to refuse private addresses there as well.
    """
    parts = _split(url)
    host = (parts.hostname or "").rstrip(".").lower()
    address = _address(host)
    if allow_loopback and _is_loopback(host, address):
        if parts.scheme not in {"http", "https"}:
            raise BadUpstream("A base URL begins with https:// (or http:// on this machine).")
        return _canonical(parts)
    if parts.scheme != "https":
        raise BadUpstream("A base URL begins with https://: calls carry your customers' data.")
    if address is not None:
        _refuse_private(address)
    else:
        _refuse_private_name(host)
    return _canonical(parts)


def _split(url: str) -> SplitResult:
    if len(url) > 500 or any(ord(c) <= 32 or ord(c) == 127 for c in url) or "\\" in url:
        raise BadUpstream("A base URL has at most 500 characters, without spaces or backslashes.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise BadUpstream(f"This is not a URL: {error}.") from error
    if not parts.hostname:
        raise BadUpstream("A base URL names a host, as in https://api.example.com/v2.")
    if parts.username is not None or parts.password is not None:
        raise BadUpstream("A base URL carries no user name or password.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise BadUpstream("A base URL ends with its path: no query and no fragment.")
    if any(segment in {".", ".."} for segment in parts.path.split("/")):
        raise BadUpstream("A base URL's path holds no '.' or '..' segment.")
    return parts


def _canonical(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` is, also in spellings that resolvers still take (2130706433, 0x7f.1)."""
    if _NUMERIC.fullmatch(host):
        return _old_ipv4(host)
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        if ":" in host:
            raise BadUpstream("The host is not an address and not a name.") from None
        return None


def _old_ipv4(host: str) -> ipaddress.IPv4Address:
    try:
        *first, last = [_old_number(part) for part in host.split(".")]
        value = 0
        for part in first:
            if part > 255:
                raise ValueError
            value = value * 256 + part
        remaining = 4 - len(first)
        if last >= 256**remaining:
            raise ValueError
        return ipaddress.IPv4Address(value * 256**remaining + last)
    except ValueError:
        raise BadUpstream("The host is not an address and not a name.") from None


def _old_number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if text.startswith("0") and len(text) > 1 else int(text)


def _is_loopback(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return _inner(address).is_loopback


def _inner(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one stands for, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _6TO4:
        return address.sixtofour or address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _refuse_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    inner = _inner(address)
    if not inner.is_global or inner.is_multicast or inner.is_reserved:
        raise BadUpstream("The base URL's address is private or reserved; it must be public.")


def _refuse_private_name(host: str) -> None:
    try:
        ascii_host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError as error:
        raise BadUpstream("The host is not a name that DNS knows.") from error
    if not _HOST.fullmatch(ascii_host) or ascii_host.rsplit(".", 1)[-1].isdecimal():
        raise BadUpstream("The host is not a name that DNS knows.")
    if "." not in ascii_host or f".{ascii_host}".endswith(_PRIVATE_SUFFIXES):
        raise BadUpstream("The base URL's host is a private name; it must be public.")
