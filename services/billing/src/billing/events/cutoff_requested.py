"""billing.cutoff.v1"""

from __future__ import annotations

from typing import Self
from uuid import UUID

from pydantic import AwareDatetime

from common.events import Event


class CutoffRequested(Event, topic="billing.cutoff.v1", type="cutoff.requested", key="cutoff_id"):
    """Metering is asked for exact totals up to `until`, of one organisation or of all."""

    cutoff_id: UUID
    organisation_id: UUID | None
    until: AwareDatetime
    requested_at: AwareDatetime

    @classmethod
    def example(cls) -> Self:
        """A valid event."""
        return cls.model_validate(
            {
                "cutoff_id": "0193a000-0000-7000-8000-000000000001",
                "version": 1,
                "organisation_id": "0193a000-0000-7000-8000-0000000000c0",
                "until": "2026-12-01T00:00:00Z",
                "requested_at": "2026-12-01T02:00:00Z",
            }
        )
