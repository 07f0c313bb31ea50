"""billing.account.v1"""

from __future__ import annotations

from typing import Self
from uuid import UUID

from pydantic import BaseModel

from common.events import Event


class Connect(BaseModel):
    """A provider's connected account, as far as others need to know."""

    account: bool
    charges_enabled: bool
    payouts_enabled: bool


class AccountChanged(Event, topic="billing.account.v1", type="account.changed", key="organisation_id"):
    """What an organisation can do with money: pay, and be paid."""

    organisation_id: UUID
    stripe_customer: bool
    connect: Connect

    @classmethod
    def example(cls) -> Self:
        """A valid event."""
        return cls.model_validate(
            {
                "organisation_id": "0193a000-0000-7000-8000-0000000000b0",
                "version": 4,
                "stripe_customer": True,
                "connect": {"account": True, "charges_enabled": True, "payouts_enabled": True},
            }
        )
