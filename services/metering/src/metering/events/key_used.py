"""When a key was last used."""

from __future__ import annotations

import datetime as dt
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime

from common.events import Event

_ID = UUID("01930000-0000-7000-8000-000000000001")


class KeyUsed(Event, topic="metering.key.v1", type="key.used", key="key_id"):
    """The minute (UTC) in which a key was last used, refused calls included.

    Published when the minute is another one, so at most once a minute and key of traffic; the last use is never left
    out, for it changes the minute or falls into the one that is published.
    """

    key_id: UUID
    subscription_id: UUID
    organisation_id: UUID
    last_used_at: AwareDatetime

    @classmethod
    def example(cls) -> Self:
        """A key that was used at a quarter past nine."""
        return cls(
            version=12, key_id=_ID, subscription_id=_ID, organisation_id=_ID,
            last_used_at=dt.datetime(2026, 11, 15, 9, 15, tzinfo=dt.UTC),
        )  # fmt: skip
