import base64
import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.devstack.programs import Program, free_port, running

PASSWORD = {
    "grant_type": "password",
    "client_id": "marketplace",
    "username": "ada.lovelace",
    "password": "x",
    "scope": "openid",
}
VERIFIER = "a-verifier-of-at-least-forty-three-characters-long"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
AUTHORIZE = {
    "client_id": "marketplace",
    "redirect_uri": "http://localhost:5173/callback",
    "response_type": "code",
    "scope": "openid email",
    "state": "s&1",
    "nonce": "n-1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@pytest.fixture(scope="module")
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running("devstack.oidc", tmp_path_factory.mktemp("oidc")) as program:
        yield program


def _claims(url: str, token: str) -> dict[str, object]:
    keys = KeySet.import_key_set(httpx.get(f"{url}/jwks").json())
    return jwt.decode(token, keys, algorithms=["RS256"]).claims


def _sign_in(oidc: Program, **changes: str) -> httpx.Response:
    form = {**AUTHORIZE, "username": "grace", "password": "x", **changes}
    return httpx.post(f"{oidc.url}/authorize", data=form)


def _exchange(oidc: Program, code: str, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": "marketplace",
        "code": code,
        "redirect_uri": AUTHORIZE["redirect_uri"],
        "code_verifier": VERIFIER,
        **changes,
    }
    return httpx.post(f"{oidc.url}/token", data=form)


def _code(answer: httpx.Response) -> str:
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


def test_discovery_names_endpoints_that_answer(oidc: Program) -> None:
    document = httpx.get(f"{oidc.url}/.well-known/openid-configuration").json()
    assert document["issuer"] == oidc.url
    assert httpx.get(document["jwks_uri"]).json()["keys"][0]["use"] == "sig"
    assert httpx.post(document["token_endpoint"], data=PASSWORD).status_code == 200
    assert "S256" in document["code_challenge_methods_supported"]


def test_an_issuer_that_is_reached_elsewhere_keeps_its_name(tmp_path: Path) -> None:
    name, moved = "http://127.0.0.1:1", Program("devstack.oidc", tmp_path)
    moved.arguments = ["--issuer", name, "--url", moved.url]
    moved.start()
    document = httpx.get(f"{moved.url}/.well-known/openid-configuration").json()
    body = httpx.post(document["token_endpoint"], data=PASSWORD).json()
    assert document["issuer"] == _claims(moved.url, body["id_token"])["iss"] == name
    moved.stop()


def test_published_keys_hold_no_private_part(oidc: Program) -> None:
    assert set(httpx.get(f"{oidc.url}/jwks").json()["keys"][0]) == {"kty", "n", "e", "kid", "alg", "use"}


def test_a_password_grant_gives_verifiable_short_lived_tokens(oidc: Program) -> None:
    body = httpx.post(f"{oidc.url}/token", data=PASSWORD).json()
    claims = _claims(oidc.url, body["id_token"])
    assert claims["iss"] == oidc.url
    assert claims["aud"] == "marketplace"
    assert claims["email"] == "ada.lovelace@example.test"
    assert claims["name"] == "Ada Lovelace"
    assert claims["preferred_username"] == "ada.lovelace"
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == body["expires_in"] == 300
    assert _claims(oidc.url, body["access_token"])["sub"] == claims["sub"]


def test_the_subject_belongs_to_the_user_name_and_to_nobody_else(oidc: Program) -> None:
    def subject(username: str) -> object:
        body = httpx.post(f"{oidc.url}/token", data={**PASSWORD, "username": username}).json()
        return _claims(oidc.url, body["id_token"])["sub"]

    assert subject("ada") == subject(" ADA ") != subject("bob")


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"password": ""}, 400, "invalid_grant"),
        ({"username": ""}, 400, "invalid_grant"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"grant_type": "device_code"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_bad_token_request_gets_an_oauth_error(
    oidc: Program, change: dict[str, str], status: int, error: str
) -> None:
    answer = httpx.post(f"{oidc.url}/token", data={**PASSWORD, **change})
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_userinfo_wants_an_access_token(oidc: Program) -> None:
    body = httpx.post(f"{oidc.url}/token", data=PASSWORD).json()
    good = httpx.get(f"{oidc.url}/userinfo", headers={"Authorization": f"Bearer {body['access_token']}"})
    assert good.json()["preferred_username"] == "ada.lovelace"
    for wrong in (body["id_token"], body["access_token"][:-4] + "AAAA", "x"):
        answer = httpx.get(f"{oidc.url}/userinfo", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401
        assert "invalid_token" in answer.headers["www-authenticate"]


def test_a_refresh_token_gives_the_same_person_again(oidc: Program) -> None:
    body = httpx.post(f"{oidc.url}/token", data=PASSWORD).json()
    form = {"grant_type": "refresh_token", "client_id": "marketplace", "refresh_token": body["refresh_token"]}
    again = httpx.post(f"{oidc.url}/token", data=form).json()
    assert _claims(oidc.url, again["id_token"])["sub"] == _claims(oidc.url, body["id_token"])["sub"]
    assert (
        httpx.post(f"{oidc.url}/token", data={**form, "refresh_token": body["id_token"]}).status_code == 400
    )


def test_a_browser_signs_in_by_code_with_pkce(oidc: Program) -> None:
    page = httpx.get(f"{oidc.url}/authorize", params=AUTHORIZE)
    assert page.status_code == 200
    assert 'name="code_challenge"' in page.text
    assert 'value="s&amp;1"' in page.text
    back = _sign_in(oidc)
    assert back.status_code == 303
    assert parse_qs(urlsplit(back.headers["location"]).query)["state"] == ["s&1"]
    body = _exchange(oidc, _code(back)).json()
    claims = _claims(oidc.url, body["id_token"])
    assert (claims["nonce"], claims["preferred_username"]) == ("n-1", "grace")
    assert body["scope"] == "openid email"


def test_a_code_works_once_and_only_with_its_verifier_and_redirect(oidc: Program) -> None:
    code = _code(_sign_in(oidc))
    assert _exchange(oidc, code, code_verifier="another").json()["error"] == "invalid_grant"
    assert _exchange(oidc, code, redirect_uri="http://localhost/other").json()["error"] == "invalid_grant"
    assert _exchange(oidc, code).status_code == 200
    assert _exchange(oidc, code).json()["error"] == "invalid_grant"


def test_authorize_never_redirects_to_a_foreign_place_and_insists_on_pkce(oidc: Program) -> None:
    assert _sign_in(oidc, redirect_uri="https://evil.example/").status_code == 400
    assert _sign_in(oidc, client_id="other").status_code == 400
    assert "error=invalid_request" in _sign_in(oidc, code_challenge="").headers["location"]
    assert "error=invalid_request" in _sign_in(oidc, code_challenge_method="plain").headers["location"]


def test_another_origin_may_use_the_token_endpoint(oidc: Program) -> None:
    answer = httpx.post(f"{oidc.url}/token", data=PASSWORD, headers={"Origin": "http://localhost:5173"})
    assert answer.headers["access-control-allow-origin"] == "*"


def test_an_issuer_with_a_path_serves_everything_below_it(tmp_path: Path) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}/realms/dev"
    program = Program("devstack.oidc", tmp_path, ["--issuer", issuer], port)
    program.start()
    try:
        document = httpx.get(f"{issuer}/.well-known/openid-configuration").json()
        body = httpx.post(document["token_endpoint"], data=PASSWORD).json()
        assert _claims(issuer, body["id_token"])["iss"] == issuer
    finally:
        program.stop()


def test_keys_survive_kill_9_and_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    with running("devstack.oidc", tmp_path) as program:
        token = httpx.post(f"{program.url}/token", data=PASSWORD).json()["id_token"]
        program.kill()
        assert stat.S_IMODE((tmp_path / "signing-keys.json").stat().st_mode) == 0o600
        program.start()
        assert _claims(program.url, token)["preferred_username"] == "ada.lovelace"
        assert program.stop() == 0


def test_after_a_rotation_old_tokens_verify_and_new_ones_carry_the_new_key(tmp_path: Path) -> None:
    with running("devstack.oidc", tmp_path) as program:
        token = httpx.post(f"{program.url}/token", data=PASSWORD).json()["id_token"]
        kid = httpx.post(f"{program.url}/__rotate").json()["kid"]
        assert _claims(program.url, token)["preferred_username"] == "ada.lovelace"
        renewed = httpx.post(f"{program.url}/token", data=PASSWORD).json()["id_token"]
        keys = KeySet.import_key_set(httpx.get(f"{program.url}/jwks").json())
        assert jwt.decode(renewed, keys, algorithms=["RS256"]).header["kid"] == kid
