"""billing.standing.v1"""

from __future__ import annotations

from typing import Literal, Self
from uuid import UUID

from pydantic import AwareDatetime

from common.events import Event


class StandingChanged(Event, topic="billing.standing.v1", type="standing.changed", key="organisation_id"):
    """Whether an organisation pays its invoices: billing alone decides, others act on it."""

    organisation_id: UUID
    standing: Literal["good", "past_due"]
    since: AwareDatetime

    @classmethod
    def example(cls) -> Self:
        """A valid event."""
        return cls.model_validate(
            {
                "organisation_id": "0193a000-0000-7000-8000-0000000000c0",
                "version": 2,
                "standing": "past_due",
                "since": "2026-12-08T02:00:00Z",
            }
        )
