"""The ports of the stack: the usual ones, moved aside when somebody else has them."""

from __future__ import annotations

from collections.abc import Mapping

from devstack.embedded.ports import free_port, is_free

USUAL = {
    "kong_proxy": 8000, "kong_admin": 8001, "catalog": 8101, "subscriptions": 8102, "billing": 8103,
    "metering": 8104, "kong-sync": 8105, "accounts": 8106, "stripe": 8110, "oidc": 8111, "upstream": 8112,
    "postgres": 8120, "redis": 8121, "kafka": 8122, "kafka_controller": 8123,
}  # fmt: skip


def choose(usual: Mapping[str, int] = USUAL) -> tuple[dict[str, int], list[str]]:
    """A free port for each part, and a line for each that had to move."""
    chosen: dict[str, int] = {}
    moved: list[str] = []
    for name, port in usual.items():
        if is_free(port):
            chosen[name] = port
        else:
            chosen[name] = free_port()
            moved.append(f"port {port} is taken, so {name} listens on {chosen[name]}")
    return chosen, moved
