"""What a usage query is about."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from uuid import UUID


class Side(StrEnum):
    """An organisation may be both: whose calls are meant, those it made or those its APIs received."""

    CONSUMER = "consumer"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which calls; unset means all that the caller may see. `is_test` picks between live and test keys' calls."""

    is_test: bool = False
    subscription_id: UUID | None = None
    api_id: UUID | None = None
    key_id: UUID | None = None
    consumer_org: UUID | None = None
    provider_org: UUID | None = None

    def conditions(self) -> list[str]:
        """One SQL condition for each filter that is set; values are bound, never written into it."""
        return [f"{name} = :{name}" for name in self.parameters()]

    def parameters(self) -> dict[str, UUID | bool]:
        """The values of the conditions."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
