"""What the platform keeps of a line, and what is the provider's."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from common.money import round_half_up


@dataclass(frozen=True, slots=True)
class Split:
    """A line's amount without tax, divided: `fee` + `provider` is the amount, to the minor unit."""

    fee: int
    provider: int


def split(amount: int, *, fee_percent: Decimal) -> Split:
    """The platform's fee, rounded half up on this line alone, and the rest. A credit mirrors its charge."""
    fee = round_half_up(amount * fee_percent / 100)
    return Split(fee=fee, provider=amount - fee)
