"""GET and POST /authorize: a bare login form, and the redirect that carries the code."""

import html
import logging
import time
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from devstack.oidc.tokens import Tokens

log = logging.getLogger("oidc")

_CARRIED = (
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
)
_LOOPBACK_HOSTS = {"localhost", "127.0.0.1", "::1"}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in (development)</title>
<style>body{{font:16px system-ui;max-width:22rem;margin:15vh auto}}label,input,button{{display:block;
width:100%;box-sizing:border-box;margin:.4rem 0;padding:.4rem}}</style>
<h1>Sign in</h1><p>Development issuer: any name, any password.</p><p role="alert">{problem}</p>
<form method="post" action="">{hidden}<label>User name <input name="username" autofocus required></label>
<label>Password <input name="password" type="password" required></label>
<button>Sign in</button></form></html>"""


async def read_form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded body (Starlette's own reader wants a multipart library even for these)."""
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))


class Login:
    """The authorization code flow with PKCE. Only loopback redirects: this issuer lets anybody in."""

    def __init__(self, tokens: Tokens, *, client_id: str) -> None:
        self._tokens = tokens
        self._client_id = client_id

    async def form(self, request: Request) -> Response:
        asked = {name: request.query_params.get(name, "") for name in _CARRIED}
        return self._refusal(asked) or _page(asked, problem="", status=200)

    async def submit(self, request: Request) -> Response:
        form = await read_form(request)
        asked = {name: form.get(name, "") for name in _CARRIED}
        if refusal := self._refusal(asked):
            return refusal
        username = form.get("username", "").strip().lower()
        if not username or not form.get("password"):
            return _page(asked, problem="Give a user name and a password.", status=400)
        claims = {
            "preferred_username": username,
            "redirect_uri": asked["redirect_uri"],
            "code_challenge": asked["code_challenge"],
            "scope": asked["scope"] or "openid",
            **({"nonce": asked["nonce"]} if asked["nonce"] else {}),
        }
        code = self._tokens.code(claims, now=int(time.time()))
        log.info("login.succeeded")
        return _redirect(asked, code=code)

    def _refusal(self, asked: dict[str, str]) -> Response | None:
        # An unknown client or a foreign address gets a page, never a redirect (RFC 6749, section 4.1.2.1).
        if asked["client_id"] != self._client_id:
            return HTMLResponse("Unknown client_id", 400)
        if urlsplit(asked["redirect_uri"]).hostname not in _LOOPBACK_HOSTS:
            return HTMLResponse("redirect_uri must be a loopback address", 400)
        if asked["response_type"] != "code":
            return _redirect(asked, error="unsupported_response_type")
        if not asked["code_challenge"] or asked["code_challenge_method"] != "S256":
            return _redirect(asked, error="invalid_request", error_description="PKCE with S256 is required")
        return None


def _page(asked: dict[str, str], *, problem: str, status: int) -> Response:
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
        for name, value in asked.items()
        if value
    )
    return HTMLResponse(_PAGE.format(hidden=hidden, problem=html.escape(problem)), status)


def _redirect(asked: dict[str, str], **answer: str) -> Response:
    if asked["state"]:
        answer["state"] = asked["state"]
    joint = "&" if urlsplit(asked["redirect_uri"]).query else "?"
    return RedirectResponse(f"{asked['redirect_uri']}{joint}{urlencode(answer)}", 303)
