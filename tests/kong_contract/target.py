"""The Kong under test: the gateway double, or a real Kong that the environment names."""

from __future__ import annotations

import os
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Target:
    """Where Kong's two ports are, and the name by which Kong reaches this machine."""

    admin_url: str
    proxy_url: str
    reaches: str = LOOPBACK

    @property
    def binds(self) -> str:
        """Where this machine listens for Kong. A name for a container's host is no address of this machine: all."""
        return self.reaches if self.reaches in {LOOPBACK, "localhost"} else "0.0.0.0"


def named_target() -> Target | None:
    """The Kong that the environment names; None when it names none."""
    named = os.environ  # noqa: TID251 - which Kong to test is up to the one who runs the tests
    admin_url, proxy_url = named.get("KONG_ADMIN_URL"), named.get("KONG_PROXY_URL")
    if not admin_url or not proxy_url:
        return None
    return Target(
        admin_url.rstrip("/"), proxy_url.rstrip("/"), named.get("MARKETPLACE_KONG_REACHES") or LOOPBACK
    )
