"""Which headers of calls and answers a provider may have a say in."""

import re

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}[a-z0-9]", re.ASCII)
# Those that carry the message itself, or that the gateway reads or writes; never a provider's to name.
_RESERVED = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "host", "content-length", "content-type", "content-encoding", "expect", "via", "forwarded", "date",
    "set-cookie", "cookie", "location", "etag", "vary", "cache-control", "www-authenticate", "retry-after",
    "x-api-key", "apikey", "authorization", "x-error-code", "x-request-id", "x-response-time", "x-real-ip",
    "deprecation", "sunset", "link",
})  # fmt: skip
_RESERVED_PREFIXES = (
    "x-marketplace-", "x-ratelimit-", "ratelimit-", "x-kong-", "x-consumer-", "x-credential-", "x-forwarded-",
    "access-control-", "x-authenticated-", "x-anonymous-",
)  # fmt: skip


def header_name(name: str) -> str | None:
    """The name in lower case when a provider may use it, else None."""
    name = name.strip().lower()
    usable = _NAME.fullmatch(name) and name not in _RESERVED and not name.startswith(_RESERVED_PREFIXES)
    return name if usable else None
