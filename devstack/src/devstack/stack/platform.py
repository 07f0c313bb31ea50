"""The marketplace's public REST surface as a client sees it: what seeding, `token` and the demo use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

T = TypeVar("T")
_RETRY = (502, 503, 504)


class PlatformError(Exception):
    """An answer that was not a success."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(
            f"{response.request.method} {response.request.url} → {response.status_code}: {response.text[:500]}"
        )
        self.status = response.status_code


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where to find the services and the OIDC issuer."""

    services: dict[str, str]
    oidc: str

    @classmethod
    def of(cls, stack: dict[str, Any]) -> Addresses:
        """As `.run/stack.json` says."""
        return cls({name: found["url"] for name, found in stack["services"].items()}, stack["oidc"]["issuer"])


class Platform:
    """Calls services by name and path: `await platform.post("catalog", "/v1/apis", token=..., json={...})`.

    A call that meets a service being restarted (no connection, 502 to 504) is repeated for up to `patience` seconds;
    a POST that is given a `key` carries it each time, so that a repeat takes effect once.
    """

    def __init__(self, addresses: Addresses, *, patience: float = 20.0) -> None:
        self._addresses, self._patience = addresses, patience
        self._http = httpx.AsyncClient(timeout=15.0, trust_env=False)  # no proxy leads to the loopback

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, service: str, path: str, *, token: str | None = None, **params: Any) -> Any:
        """The JSON of a GET."""
        return await self._call("GET", service, path, token=token, params=params)

    async def post(
        self, service: str, path: str, *, token: str | None = None, json: Any = None, key: str | None = None
    ) -> Any:
        """The JSON of a POST; `key` makes it safe to repeat."""
        headers = {"Idempotency-Key": key} if key else {}
        return await self._call("POST", service, path, token=token, json=json, headers=headers)

    async def put(
        self, service: str, path: str, *, token: str | None = None, content: bytes, media: str
    ) -> Any:
        """The JSON of a PUT of a document."""
        return await self._call(
            "PUT", service, path, token=token, content=content, headers={"Content-Type": media}
        )

    async def patch(self, service: str, path: str, *, token: str | None = None, json: Any) -> Any:
        """The JSON of a PATCH."""
        return await self._call("PATCH", service, path, token=token, json=json)

    async def delete(self, service: str, path: str, *, token: str | None = None) -> Any:
        """The JSON of a DELETE, None where the answer has no body."""
        return await self._call("DELETE", service, path, token=token)

    async def _call(
        self, method: str, service: str, path: str, *, token: str | None, headers: dict[str, str] | None = None,
        **arguments: Any,
    ) -> Any:  # fmt: skip
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return await self._request(
            method, self._addresses.services[service] + path, headers=sent, **arguments
        )

    async def _request(self, method: str, url: str, **arguments: Any) -> Any:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                response = await self._http.request(method, url, **arguments)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            else:
                if response.status_code not in _RETRY or time.monotonic() > deadline:
                    return _json(response)
            await asyncio.sleep(0.25)

    async def fetch(self, url: str) -> Any:
        """The JSON at `url`, None while nobody answers there."""
        try:
            return _json(await self._http.get(url))
        except httpx.TransportError:
            return None

    async def call(self, url: str, *, key: str) -> int | None:
        """The status of a call through the proxy, None while nobody answers there."""
        try:
            return (await self._http.get(url, headers={"X-API-Key": key})).status_code
        except httpx.TransportError:
            return None

    async def fetch_post(self, url: str) -> Any:
        """The JSON that a POST without a body gives."""
        return _json(await self._http.post(url))

    async def sign_in(self, username: str) -> str:
        """An OIDC ID token of the development issuer, which knows every name."""
        form = {
            "grant_type": "password", "username": username, "password": "development", "client_id": "marketplace",
            "scope": "openid profile email",
        }  # fmt: skip
        answer = await self._request("POST", f"{self._addresses.oidc}/token", data=form)
        return str(answer["id_token"])

    async def token(self, username: str, *, slug: str, name: str) -> str:
        """A platform token of `username` for the organisation `slug`, which is founded if it is not there."""
        subject = await self.sign_in(username)
        bare = await self.post("accounts", "/v1/token", json={"subject_token": subject})
        mine = await self.get("accounts", "/v1/organisations", token=bare["access_token"])
        if slug not in [organisation["slug"] for organisation in mine["items"]]:
            body = {"slug": slug, "name": name}
            try:
                await self.post("accounts", "/v1/organisations", token=bare["access_token"], json=body)
            except PlatformError as error:
                # A repeat of a call whose answer was lost; if it is somebody else's, the exchange below says so.
                if error.status != 409:
                    raise
        exchanged = await self.post(
            "accounts", "/v1/token", json={"subject_token": subject, "organisation": slug}
        )
        return str(exchanged["access_token"])


def _json(response: httpx.Response) -> Any:
    if not response.is_success:
        raise PlatformError(response)
    return response.json() if response.content else None


async def until(
    what: str, look: Callable[[], Awaitable[T]], done: Callable[[T], bool], *, seconds: float = 30.0
) -> T:
    """What `look` gives once `done` accepts it; TimeoutError with the last value after `seconds`.

    A 404 while it is not there yet is waited out too: events take a moment.
    """
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            last = await look()
            if done(last):
                return last
        except PlatformError as error:
            if error.status != 404:
                raise
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{what} did not happen within {seconds:.0f} s; last seen: {last}")
