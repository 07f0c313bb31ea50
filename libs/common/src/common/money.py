"""Rounding of money. Pure: `domain/` may import it."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal


def round_half_up(amount: Decimal) -> int:
    """`amount` minor units as a whole number, halves away from zero (so that a refund mirrors its charge)."""
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
