"""Shares of a month: the fee rounds half up once, the included requests round down."""

from __future__ import annotations

from decimal import Decimal, localcontext

from billing.domain.period import Period
from billing.domain.terms import Allowance, Terms
from common.money import round_half_up

_DIGITS = 60


def prorate(amount: int, *, part: Period, whole: Period) -> int:
    """The share of `amount` (minor units for `whole`) that pays for `part`, rounded half up once."""
    with localcontext(prec=_DIGITS):
        return round_half_up(Decimal(amount) * covered(part, whole) / whole.microseconds)


def allowance(terms: Terms, *, microseconds: int, whole: Period, used_before: int) -> int:
    """Included requests for a part of the month `whole` that lasts `microseconds`.

    A full allowance belongs to organisation, API and month: what was called before under any other terms counts
    against it, so that leaving and coming back gains nothing. A prorated one is paid for by its own prorated fee.
    """
    if terms.first_period_allowance is Allowance.PRORATED and microseconds < whole.microseconds:
        return terms.included_requests * microseconds // whole.microseconds
    return max(0, terms.included_requests - used_before)


def covered(part: Period, whole: Period) -> int:
    """How many microseconds of `whole` lie in `part`."""
    return whole.intersect(part).microseconds
