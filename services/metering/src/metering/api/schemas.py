"""Bodies of the answers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel

from metering.domain.rollup import Usage
from metering.domain.usage import Dimension


class IngestOut(BaseModel):
    """`foreign` entries bear no tag of this marketplace: they are dropped and counted."""

    accepted: int
    rejected: int
    foreign: int


class RejectedOut(BaseModel):
    """What the gateway itself refused; never billed."""

    rate_limited: int
    forbidden: int
    unauthorized: int


class TotalsOut(BaseModel):
    """Every call is in exactly one of: answered below 400, errors_4xx, errors_5xx, rejected.

    Latencies are those of the calls that the gateway did not refuse (`rejected`). How long the refused ones of an hour
    took is not kept apart: as many of the fastest calls are left out. So a figure is too high where a refusal took
    longer than a call that was let through, and never too low. Percentiles are within 5 %, and null without a call.
    """

    calls: int
    billable_calls: int
    units: int
    errors_4xx: int
    errors_5xx: int
    rejected: RejectedOut
    bytes_in: int
    bytes_out: int
    latency_ms_mean: int
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    latency_ms_p99: int | None

    @classmethod
    def fields_of(cls, usage: Usage) -> dict[str, object]:
        """The fields of `usage`, for this model and those that extend it."""
        totals = usage.totals
        p50, p95, p99 = usage.latency_percentiles(50, 95, 99)
        return {
            "calls": totals.calls, "billable_calls": totals.billable_calls, "units": totals.units,
            "errors_4xx": totals.errors_4xx, "errors_5xx": totals.errors_5xx,
            "rejected": {
                "rate_limited": totals.rejected_rate_limited, "forbidden": totals.rejected_forbidden,
                "unauthorized": totals.rejected_unauthorized,
            },
            "bytes_in": totals.bytes_in, "bytes_out": totals.bytes_out,
            "latency_ms_mean": usage.latency_total_ms // usage.reached if usage.reached else 0,
            "latency_ms_p50": p50, "latency_ms_p95": p95, "latency_ms_p99": p99,
        }  # fmt: skip

    @classmethod
    def of(cls, usage: Usage, **more: object) -> Self:
        """`usage` as answered, with what an extending model adds."""
        return cls.model_validate(cls.fields_of(usage) | more)


class SummaryOut(TotalsOut):
    """Usage of a range; `as_of` is up to when every logged call is counted (null until that is known)."""

    start: datetime
    end: datetime
    as_of: datetime | None


class ComparedOut(TotalsOut):
    """The equally long range before, and by what share each figure rose since (-0.25 is a quarter less).

    Compared is what has passed of the range, up to now. A change is null where there was nothing before.
    """

    start: datetime
    end: datetime
    changes: dict[str, float | None]


class ComparisonOut(SummaryOut):
    """Usage of a range and, if asked for, of the one before it."""

    previous: ComparedOut | None = None


class BucketOut(TotalsOut):
    """One bucket of a time series."""

    start: datetime


class LiveOut(BaseModel):
    """The hour before and this one, as far as they are counted."""

    hours: list[BucketOut]
    as_of: datetime | None


class TimeseriesOut(BaseModel):
    """Every bucket of the range, also the empty ones."""

    items: list[BucketOut]
    as_of: datetime | None


class EndpointUsageOut(TotalsOut):
    """One endpoint; without `endpoint_id` the calls whose path no template matched."""

    api_id: UUID
    endpoint_id: UUID | None
    method: str | None
    path: str | None


class EndpointsOut(BaseModel):
    """The most called endpoints first."""

    items: list[EndpointUsageOut]
    as_of: datetime | None


class ShareOut(TotalsOut):
    """What one item of a breakdown came to, and which share of all calls of the range that is."""

    share: float
    api_id: UUID | None = None
    subscription_id: UUID | None = None
    key_id: UUID | None = None
    endpoint_id: UUID | None = None
    version_id: UUID | None = None
    consumer_org: UUID | None = None
    provider_org: UUID | None = None
    country: str | None = None
    method: str | None = None
    path: str | None = None
    name: str | None = None


class BreakdownOut(BaseModel):
    """The most called first; of the ids those are set that the breakdown is by (null where calls have none)."""

    by: Dimension
    items: list[ShareOut]
    as_of: datetime | None


class StatusClassOut(BaseModel):
    """How many calls were answered so, and which share of all that is."""

    status_class: Literal[
        "succeeded", "errors_4xx", "errors_5xx", "rejected_rate_limited", "rejected_forbidden",
        "rejected_unauthorized",
    ]  # fmt: skip
    calls: int
    share: float


class StatusClassesOut(BaseModel):
    """Every class: each call is in exactly one. `succeeded` is below 400, `rejected_*` are the gateway's refusals."""

    items: list[StatusClassOut]
    as_of: datetime | None


class ErrorOut(BaseModel):
    """How often an endpoint answered a status, and some of the newest request ids that met it."""

    api_id: UUID
    endpoint_id: UUID | None
    method: str | None
    path: str | None
    status: int
    source: str
    calls: int
    last_at: datetime
    examples: list[str]


class ErrorsOut(BaseModel):
    """The most frequent errors first, of the UTC days that the range touches."""

    items: list[ErrorOut]
    as_of: datetime | None


class RequestOut(BaseModel):
    """One call. The path has no query string: none is ever stored."""

    request_id: str
    started_at: datetime
    subscription_id: UUID | None
    plan_version_id: UUID | None
    key_id: UUID | None
    is_test: bool
    api_id: UUID
    version_id: UUID | None
    endpoint_id: UUID | None
    method: str
    path: str
    status: int
    upstream_status: int | None
    source: str
    billable: bool
    units: int
    latency_ms: int
    upstream_latency_ms: int | None
    gateway_latency_ms: int
    bytes_in: int
    bytes_out: int


class RequestsOut(BaseModel):
    """Newest first."""

    items: list[RequestOut]
    next_cursor: str | None
    as_of: datetime | None


class QuotaOut(BaseModel):
    """A subscription's quota in a month; `limit` and `remaining` are null where the plan has none."""

    subscription_id: UUID
    api_id: UUID
    period: str
    limit: int | None
    used: int
    remaining: int | None
    state: str
    resets_at: datetime


class QuotasOut(BaseModel):
    """In subscription order."""

    items: list[QuotaOut]
    next_cursor: str | None
    as_of: datetime | None


class DifferenceOut(BaseModel):
    """A stored row that is not what the raw rows add up to; each total as [recomputed, stored]."""

    table: str
    bucket: str
    key: dict[str, str | None]
    totals: dict[str, tuple[int, int]]


class ReconciliationOut(BaseModel):
    """`ok` only with no difference; `compared` counts the rows of each table."""

    ok: bool
    compared: dict[str, int]
    differences: list[DifferenceOut]
    as_of: datetime | None


class NightOut(BaseModel):
    """One night's reconciliation of the days [first, last); at most a thousand differences are named."""

    day: date
    first: date
    last: date
    started_at: datetime
    finished_at: datetime
    ok: bool
    compared: dict[str, int]
    differing: int
    differences: list[DifferenceOut]


class NightsOut(BaseModel):
    """The last night first."""

    items: list[NightOut]
    next_cursor: str | None
