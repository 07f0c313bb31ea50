"""The secrets by which a provider knows the gateway: derived, never stored. The gateway's Lua derives the same."""

import base64
import hmac
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UpstreamSecret:
    """`secret` comes with every call; `signing_secret` never travels, it signs who calls."""

    epoch: int
    secret: str
    signing_secret: str


def derive_secret(master: str, api_id: UUID, epoch: int) -> UpstreamSecret:
    """The API's secrets of this epoch."""

    def derive(purpose: str) -> str:
        digest = hmac.digest(master.encode(), f"upstream\n{purpose}\n{api_id}\n{epoch}".encode(), "sha256")
        return "mks_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")

    return UpstreamSecret(epoch, derive("secret"), derive("signature"))
