"""The ports of the stack: the usual ones, moved aside when somebody else has them."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from devstack.embedded.ports import free_port, is_free

USUAL = {
    "kong_proxy": 8000, "kong_admin": 8001, "catalog": 8101, "subscriptions": 8102, "billing": 8103,
    "metering": 8104, "kong-sync": 8105, "accounts": 8106, "stripe": 8110, "oidc": 8111, "upstream": 8112,
    "mail": 8113, "smtp": 8114,
    "postgres": 8120, "redis": 8121, "kafka": 8122, "kafka_controller": 8123,
}  # fmt: skip


def choose(claims: ExitStack, usual: Mapping[str, int] = USUAL) -> tuple[dict[str, int], list[str]]:
    """A free port for each part, and a line for each that had to move.

    No other stack of this user is given the same ports until `claims` is closed.
    """
    chosen: dict[str, int] = {}
    moved: list[str] = []
    for name, port in usual.items():
        if is_free(port) and _claim(port, claims):
            chosen[name] = port
            continue
        while not _claim(other := free_port(), claims):
            pass
        chosen[name] = other
        moved.append(f"port {port} is taken, so {name} listens on {other}")
    return chosen, moved


def _claim(port: int, claims: ExitStack) -> bool:
    """A port is chosen seconds before it is bound: until then a lock on a file says whose it is."""
    folder = Path(tempfile.gettempdir()) / f"marketplace-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = claims.enter_context((folder / str(port)).open("w"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
