"""billing.spend.v1"""

from __future__ import annotations

from datetime import date
from typing import Self
from uuid import UUID

from common.events import Event


class SpendChanged(Event, topic="billing.spend.v1", type="spend.changed", key="spend_key"):
    """What a subscription's month costs so far, in minor units: fixed fees, and usage as the next invoices would say.

    Fixed fees are those of the month, invoiced or due (they are due in advance, for the whole month); usage is an
    estimate, as far as metering has published it. `month` is its first day.
    """

    subscription_id: UUID
    organisation_id: UUID
    month: date
    currency: str
    amount: int

    @property
    def spend_key(self) -> str:
        """`{subscription}/{month}`."""
        return f"{self.subscription_id}/{self.month:%Y-%m}"

    @classmethod
    def example(cls) -> Self:
        """A valid event."""
        return cls.model_validate(
            {
                "subscription_id": "0193a000-0000-7000-8000-00000000005b",
                "version": 7,
                "organisation_id": "0193a000-0000-7000-8000-0000000000c0",
                "month": "2026-11-01",
                "currency": "EUR",
                "amount": 1250,
            }
        )
