"""Stripe's signature on a webhook, checked on the raw bytes."""

from __future__ import annotations

import stripe


def is_signed(body: bytes, header: str | None, *, secret: str, tolerance_seconds: int = 300) -> bool:
    """Stripe signed `body` with our secret, at most that long ago."""
    try:
        stripe.WebhookSignature.verify_header(body, header, secret, tolerance_seconds)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True
