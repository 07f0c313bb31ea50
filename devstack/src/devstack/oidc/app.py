"""The issuer's HTTP surface, mounted where the issuer's URL says."""

import base64
import binascii
import logging
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from devstack.oidc.keys import ALGORITHM, KeyRing
from devstack.oidc.login import Login, read_form
from devstack.oidc.tokens import TokenRefused, Tokens, User, challenge_of

log = logging.getLogger("oidc")


class OAuthError(Exception):
    """An error answer of the token endpoint (RFC 6749, section 5.2)."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


def create_app(
    keys: KeyRing, *, issuer: str, client_id: str, lifetime_seconds: int, url: str | None = None
) -> Starlette:
    """An issuer ready to be served at `url` (the issuer's own if None); the issuer's path prefixes every endpoint."""
    tokens = Tokens(keys, issuer=issuer, client_id=client_id, lifetime_seconds=lifetime_seconds)
    login = Login(tokens, client_id=client_id)
    endpoint = _TokenEndpoint(tokens, client_id=client_id)
    document = _discovery(issuer, at=(url or issuer).rstrip("/"))

    async def discovery(_: Request) -> Response:
        return JSONResponse(document)

    async def jwks(_: Request) -> Response:
        return JSONResponse(keys.public(), headers={"Cache-Control": "public, max-age=60"})

    async def rotate(_: Request) -> Response:
        kid = keys.rotate()
        log.info("keys.rotated kid=%s", kid)
        return JSONResponse({"kid": kid})

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def userinfo(request: Request) -> Response:
        return _userinfo(tokens, request.headers.get("authorization", ""))

    oidc = [
        Route("/.well-known/openid-configuration", discovery),
        Route("/jwks", jwks),
        Route("/token", endpoint.answer, methods=["POST"]),
        Route("/userinfo", userinfo, methods=["GET", "POST"]),
        Route("/authorize", login.form, methods=["GET"]),
        Route("/authorize", login.submit, methods=["POST"]),
    ]
    prefix = urlsplit(issuer).path.rstrip("/")
    routes = [Route("/livez", livez), Route("/__rotate", rotate, methods=["POST"])]
    oidc_routes: list[BaseRoute] = [Mount(prefix, routes=oidc)] if prefix else list(oidc)
    # A single-page application talks to the token endpoint from another origin.
    cors = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    return Starlette(routes=[*routes, *oidc_routes], middleware=[cors])


def _discovery(issuer: str, *, at: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{at}/authorize",
        "token_endpoint": f"{at}/token",
        "userinfo_endpoint": f"{at}/userinfo",
        "jwks_uri": f"{at}/jwks",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "password", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "scopes_supported": ["openid", "profile", "email"],
        "claims_supported": [
            "sub",
            "iss",
            "aud",
            "exp",
            "iat",
            "email",
            "email_verified",
            "name",
            "preferred_username",
        ],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
    }


def _userinfo(tokens: Tokens, authorization: str) -> Response:
    scheme, _, token = authorization.partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise TokenRefused("no bearer token")
        claims = tokens.read(token, kind="at+jwt", now=int(time.time()))
    except TokenRefused as error:
        challenge = f'Bearer error="invalid_token", error_description="{error}"'
        return JSONResponse({"error": "invalid_token"}, 401, headers={"WWW-Authenticate": challenge})
    return JSONResponse(User(claims["preferred_username"]).claims)


class _TokenEndpoint:
    """POST /token. Public clients: a client secret is accepted and not looked at."""

    def __init__(self, tokens: Tokens, *, client_id: str) -> None:
        self._tokens = tokens
        self._client_id = client_id
        self._codes_used: dict[str, int] = {}

    async def answer(self, request: Request) -> Response:
        form = await read_form(request)
        headers = {"Cache-Control": "no-store"}
        try:
            self._check_client(form, request.headers.get("authorization", ""))
            body = self._grant(form, now=int(time.time()))
        except OAuthError as error:
            log.info("token.refused grant=%s error=%s", form.get("grant_type"), error.error)
            answer = {"error": error.error, "error_description": error.description}
            return JSONResponse(answer, error.status, headers=headers)
        log.info("token.issued grant=%s", form["grant_type"])
        return JSONResponse(body, headers=headers)

    def _check_client(self, form: dict[str, str], authorization: str) -> None:
        client_id = form.get("client_id")
        if authorization.lower().startswith("basic "):
            try:
                client_id = unquote(base64.b64decode(authorization[6:]).decode().partition(":")[0])
            except (binascii.Error, UnicodeDecodeError):
                client_id = None
        if client_id != self._client_id:
            raise OAuthError("invalid_client", f"The only client here is {self._client_id!r}.", status=401)

    def _grant(self, form: dict[str, str], *, now: int) -> dict[str, Any]:
        grant_type = form.get("grant_type", "")
        if grant_type == "password":
            return self._by_password(form, now=now)
        if grant_type == "authorization_code":
            return self._by_code(form, now=now)
        if grant_type == "refresh_token":
            return self._by_refresh_token(form, now=now)
        raise OAuthError("unsupported_grant_type", "Use password, authorization_code or refresh_token.")

    def _by_password(self, form: dict[str, str], *, now: int) -> dict[str, Any]:
        username = form.get("username", "").strip().lower()
        if not username or not form.get("password"):
            raise OAuthError("invalid_grant", "Give a username and a password; any will do.")
        return self._tokens.grant(User(username), scope=form.get("scope") or "openid", nonce=None, now=now)

    def _by_code(self, form: dict[str, str], *, now: int) -> dict[str, Any]:
        try:
            claims = self._tokens.read(form.get("code", ""), kind="code+jwt", now=now)
        except TokenRefused as error:
            raise OAuthError("invalid_grant", f"The code is {error}.") from error
        if claims["redirect_uri"] != form.get("redirect_uri"):
            raise OAuthError("invalid_grant", "The redirect_uri is not the one the code was made for.")
        if claims["code_challenge"] != challenge_of(form.get("code_verifier", "")):
            raise OAuthError("invalid_grant", "The code_verifier does not fit the code_challenge.")
        self._codes_used = {jti: until for jti, until in self._codes_used.items() if until > now}
        if claims["jti"] in self._codes_used:
            raise OAuthError("invalid_grant", "The code was used before.")
        self._codes_used[claims["jti"]] = int(claims["exp"])
        user = User(claims["preferred_username"])
        return self._tokens.grant(user, scope=claims["scope"], nonce=claims.get("nonce"), now=now)

    def _by_refresh_token(self, form: dict[str, str], *, now: int) -> dict[str, Any]:
        try:
            claims = self._tokens.read(form.get("refresh_token", ""), kind="refresh+jwt", now=now)
        except TokenRefused as error:
            raise OAuthError("invalid_grant", f"The refresh token is {error}.") from error
        return self._tokens.grant(
            User(claims["preferred_username"]), scope=claims["scope"], nonce=None, now=now
        )
