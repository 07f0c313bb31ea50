"""Audit entries: who did what, to what, from where. Ids and roles only: erasing a person changes none."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from which network."""

    user_id: UUID
    network: str | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One deed; written in the transaction of the deed itself, never changed."""

    id: UUID
    at: datetime
    actor: Actor
    organisation_id: UUID | None
    action: str
    target_id: UUID
    before: Mapping[str, str | None] = field(default_factory=dict)
    after: Mapping[str, str | None] = field(default_factory=dict)


def network_of(address: str | None) -> str | None:
    """The /24 (IPv4) or /48 (IPv6) that `address` is in; None when it is no address."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))
