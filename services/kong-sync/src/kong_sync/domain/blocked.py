"""Addresses from which nobody may call any API: an operator's word, beside what each provider blocks."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kong_sync.domain.errors import AddressInvalid

# Every service's plugin holds them all, and so does each of the gateway's workers.
AT_MOST = 1_000
# A typing error must not block half the world.
_WIDEST = {4: 8, 6: 16}


@dataclass(frozen=True, slots=True)
class BlockedAddress:
    """An address or a network, in the form in which equal ones are equal."""

    address: str
    reason: str | None
    blocked_at: datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who blocked an address (`action` block), or let it in again (unblock); `reason` as given with the block."""

    id: UUID
    at: datetime
    actor_user_id: UUID
    action: str
    address: str
    reason: str | None = None


def canonical_address(text: str) -> str:
    """The address or network that `text` names, as it is kept; AddressInvalid when it names none, or too many."""
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise AddressInvalid(f"{text!r} is no address and no network: {error}.", field="address") from error
    widest = _WIDEST[network.version]
    if network.prefixlen < widest:
        raise AddressInvalid(f"{network} is too wide to be blocked: at most a /{widest}.", field="address")
    return str(network.network_address if network.num_addresses == 1 else network)
