"""Print a `.env` for docker-compose.yml with every secret that can be made here; standard library only.

    python3 deploy/compose/make_env.py > .env

Stripe's test keys cannot be made: fill them in. The names are those of `.env.example`, in its order.
"""

import base64
import hashlib
import json
import secrets
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
FROM_ELSEWHERE = ("STRIPE_",)

# Edwards25519 (RFC 8032): only what deriving a public key from a private one takes. Python's standard library has no
# curve, and a machine that runs compose need not have OpenSSL's command.
_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_Y = 4 * pow(5, -1, _P) % _P
_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
Point = tuple[int, int]


def _add(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    k = _D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + x2 * y1) * pow(1 + k, -1, _P) % _P,
        (y1 * y2 + x1 * x2) * pow(1 - k, -1, _P) % _P,
    )


def ed25519_public(private: bytes) -> bytes:
    """The public key that belongs to a 32-byte private key."""
    digest = hashlib.sha512(private).digest()
    scalar = int.from_bytes(digest[:32], "little") & ~7 & (2**254 - 1) | 2**254
    point, power = (0, 1), (_X, _Y)
    while scalar:
        if scalar & 1:
            point = _add(point, power)
        power, scalar = _add(power, power), scalar >> 1
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def signing_key(private: bytes) -> str:
    """The private key as a JWK, fit for ACCOUNTS_SIGNING_KEY."""

    def encoded(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    public = ed25519_public(private)
    key_id = hashlib.sha256(public).hexdigest()[:16]
    jwk = {"kty": "OKP", "crv": "Ed25519", "kid": key_id, "x": encoded(public), "d": encoded(private)}
    return json.dumps(jwk, separators=(",", ":"))


def filled(line: str) -> str:
    """The line of `.env.example` with its empty value filled in, where it can be made here."""
    name, separator, value = line.partition("=")
    if line.startswith("#") or not separator or value or name.startswith(FROM_ELSEWHERE):
        return line
    if name == "ACCOUNTS_SIGNING_KEY":
        return f"{name}='{signing_key(secrets.token_bytes(32))}'"
    # Hexadecimal: passwords stand inside URLs.
    return f"{name}={secrets.token_hex(24)}"


def main() -> None:
    """Print the file."""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        sys.stdout.write(filled(line) + "\n")


if __name__ == "__main__":
    main()
