"""How much of what the gateway counted is metered."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

_HUNDRED = Decimal(100)


class Known(StrEnum):
    """Whether it is known that nothing is missing from a cut-off's totals, or named."""

    YES = "yes"
    NOT_YET = "not_yet"
    HELD = "held"  # and not answered before it is


@dataclass(frozen=True, slots=True)
class Share:
    """Calls that the gateway counted and calls that are metered, of the same time.

    `margin` calls ended so close to an end of that time that the counter may hold them on the other side of it.
    """

    counted: int
    metered: int
    margin: int = 0

    @property
    def missing(self) -> int:
        """Calls that are certainly counted and not metered: a call in the margin is given the benefit of the doubt."""
        return max(0, self.counted - self.metered - self.margin)

    @property
    def percent(self) -> Decimal:
        """Rounded down to four places, so that 100 means that none is missing."""
        if not self.counted:
            return _HUNDRED
        share = _HUNDRED * (self.counted - self.missing) / self.counted
        return share.quantize(Decimal("0.0001"), rounding=ROUND_DOWN)

    def is_below(self, bound: Decimal) -> bool:
        """Less than `bound` per cent is metered. Exact: no rounding decides."""
        return self.missing * _HUNDRED > (_HUNDRED - bound) * self.counted
