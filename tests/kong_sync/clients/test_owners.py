"""Asking an owner to publish again: what it answers, and what may go wrong."""

from __future__ import annotations

import httpx
import pytest

from kong_sync.clients.owners import ask_to_republish
from kong_sync.domain.errors import OwnerFailed


async def ask(answer: httpx.Response | Exception) -> tuple[int, httpx.Request]:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx.MockTransport(handle)
    events = await ask_to_republish("http://catalog/", token="t", timeout_seconds=1, transport=transport)
    return events, asked[0]


async def test_an_owner_is_asked_as_a_platform_admin() -> None:
    events, request = await ask(httpx.Response(202, json={"events": 7}))
    assert events == 7
    assert (request.method, str(request.url)) == ("POST", "http://catalog/v1/admin/republish")
    assert request.headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            httpx.Response(403, json={"detail": "Platform admins only."}),
            "answered 403: Platform admins only.",
        ),
        (httpx.Response(502, text="<html>"), "answered 502"),
        (httpx.Response(200, text="<html>"), "is not such an endpoint"),
        (httpx.Response(200, json=[]), "is not such an endpoint"),
        (httpx.ReadTimeout("slow"), "does not answer (ReadTimeout)"),
        (httpx.ConnectError("refused"), "does not answer (ConnectError)"),
    ],
)
async def test_what_goes_wrong_is_said(answer: httpx.Response | Exception, words: str) -> None:
    with pytest.raises(OwnerFailed) as failure:
        await ask(answer)
    assert str(failure.value).startswith(f"http://catalog/v1/admin/republish {words}")
