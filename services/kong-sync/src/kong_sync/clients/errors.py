"""What can go wrong with Kong: it refuses, or it does not answer."""

from __future__ import annotations

import re
from typing import Any

from common.errors import Unavailable

# Kong quotes the value that is taken already; this reason is published and logged.
_DIGEST = re.compile(r"[0-9a-f]{64}")


class KongRejected(Exception):
    """Kong understood and refused: repeating will not help. `status` is HTTP's, `detail` Kong's own words.

    No digest of a key stands in them.
    """

    def __init__(self, action: str, *, status: int, detail: str) -> None:
        detail = _DIGEST.sub("(the digest of a key)", detail)
        super().__init__(f"{action}: {status} {detail}")
        self.action, self.status, self.detail = action, status, detail

    @property
    def lacks_parent(self) -> bool:
        """What the entity hangs on does not stand in Kong."""
        return self.status == 404 or "does not reference an existing" in self.detail

    @property
    def reason(self) -> str:
        """In words for the one whose API or subscription it concerns."""
        if self.status == 409:
            return f"Something in the gateway that is not ours is in the way: {self.detail}"
        return f"The gateway refused it: {self.detail}"


class KongUnavailable(Unavailable):
    """Kong did not answer, or answered with an error of its own: the write may or may not have taken effect."""

    code = "GATEWAY_UNAVAILABLE"

    def __init__(self, action: str, problem: str) -> None:
        super().__init__(f"The gateway's Admin API does not answer ({action}: {problem}). Try again later.")
        self.action, self.problem = action, problem


def kong_message(body: Any) -> str:
    """The message of an Admin API error."""
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    return str(body)[:300]
