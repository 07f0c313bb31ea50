"""The three people of the embedded stack, each with an organisation of their own."""

from __future__ import annotations

from dataclasses import dataclass

from devstack.stack.config import ADMIN_ADDRESS


@dataclass(frozen=True, slots=True)
class Role:
    """Who signs in, and for which organisation."""

    username: str
    slug: str
    name: str


ROLES = {
    "admin": Role(ADMIN_ADDRESS, "operator", "The operator"),
    "provider": Role("provider@marketplace.test", "acme", "Acme APIs"),
    "consumer": Role("consumer@marketplace.test", "widgets", "Widgets Inc."),
}
