"""Rebuild our copies: ask each owner to publish its state again. The worker then reads it as any other event."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kong_sync.clients.owners import ask_to_republish
from kong_sync.domain.errors import OwnerFailed


async def ask_owners(
    urls: Mapping[str, str], *, token: str, timeout_seconds: float
) -> dict[str, int | OwnerFailed]:
    """Every owner was asked; for each the number of events that it publishes again, or why it does not.

    One that fails does not keep the others: it may be asked again later, all of it may be repeated.
    """

    async def ask(url: str) -> int | OwnerFailed:
        try:
            return await ask_to_republish(url, token=token, timeout_seconds=timeout_seconds)
        except OwnerFailed as failure:
            return failure

    return dict(zip(urls, await asyncio.gather(*map(ask, urls.values())), strict=True))
