"""What a usage query is about."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from uuid import UUID


class Side(StrEnum):
    """An organisation may be both: whose calls are meant, those it made or those its APIs received."""

    CONSUMER = "consumer"
    PROVIDER = "provider"


class Dimension(StrEnum):
    """By what usage is broken down."""

    API = "api"
    ENDPOINT = "endpoint"
    VERSION = "version"
    SUBSCRIPTION = "subscription"
    KEY = "key"
    CONSUMER = "consumer"
    PROVIDER = "provider"
    COUNTRY = "country"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which calls; unset means all that the caller may see. `is_test` picks between live and test keys' calls.

    `own_org` is either side of a call. Row-level security says the same once more, but no index serves it.
    """

    is_test: bool = False
    subscription_id: UUID | None = None
    api_id: UUID | None = None
    key_id: UUID | None = None
    endpoint_id: UUID | None = None
    version_id: UUID | None = None
    consumer_org: UUID | None = None
    provider_org: UUID | None = None
    own_org: UUID | None = None

    @property
    def of_whole_subscriptions(self) -> bool:
        """True when nothing is asked for that is finer than a subscription."""
        return self.key_id is None and self.endpoint_id is None and self.version_id is None

    def conditions(self) -> list[str]:
        """One SQL condition for each filter that is set; values are bound, never written into it."""
        return [
            "(consumer_org = :own_org OR provider_org = :own_org)"
            if name == "own_org"
            else f"{name} = :{name}"
            for name in self.parameters()
        ]

    def parameters(self) -> dict[str, UUID | bool]:
        """The values of the conditions."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


@dataclass(frozen=True, slots=True)
class CallFilters:
    """Which single calls, beside Filters: a status ("429") or a class ("4xx"), a method, and those slower than."""

    status: str | None = None
    method: str | None = None
    slower_than_ms: int | None = None

    def conditions(self) -> list[str]:
        """One SQL condition for each filter that is set."""
        conditions = []
        if self.status is not None:
            conditions.append("status BETWEEN :low_status AND :high_status")
            if self.status[0] in "456789":
                conditions.append("status >= 400")  # in these words: there is an index of such rows
        if self.method is not None:
            conditions.append("method = :method")
        if self.slower_than_ms is not None:
            conditions.append("latency_ms > :slower_than_ms")
        return conditions

    def parameters(self) -> dict[str, object]:
        """The values of the conditions."""
        values: dict[str, object] = {}
        if self.status is not None:
            whole_class = self.status.endswith("xx")
            low = int(self.status[0]) * 100 if whole_class else int(self.status)
            values |= {"low_status": low, "high_status": low + 99 if whole_class else low}
        if self.method is not None:
            values["method"] = self.method
        if self.slower_than_ms is not None:
            values["slower_than_ms"] = self.slower_than_ms
        return values
