"""The services whose decisions we copy: asked to publish all of them again."""

from __future__ import annotations

import json

import httpx

from kong_sync.domain.errors import OwnerFailed


async def ask_to_republish(
    url: str, *, token: str, timeout_seconds: float, transport: httpx.AsyncBaseTransport | None = None
) -> int:
    """The owner at `url` has put its whole state into its outbox again; how many events that is."""
    address = f"{url.rstrip('/')}/v1/admin/republish"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with httpx.AsyncClient(timeout=timeout_seconds, transport=transport) as client:
            response = await client.post(address, headers=headers)
            response.raise_for_status()
            return int(response.json()["events"])
    except httpx.HTTPStatusError as error:
        raise OwnerFailed(f"{address} answered {error.response.status_code}{_why(error.response)}") from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise OwnerFailed(f"{address} does not answer ({type(error).__name__})") from error
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise OwnerFailed(
            f"{address} is not such an endpoint: its answer holds no number of events"
        ) from error


def _why(response: httpx.Response) -> str:
    """The detail of a problem, where the answer is one."""
    try:
        detail = response.json().get("detail")
    except (ValueError, AttributeError):
        return ""
    return f": {detail}" if isinstance(detail, str) else ""
