"""What providers read: hours of whole APIs and days of endpoints, whoever called. Triggers keep them.

Whatever is added to `usage_subscription_hourly` is added to `usage_api_hourly`, and to `usage_records_daily` to
`usage_endpoint_daily`, in the same statement, also by a worker of the version before.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    MetaData,
    Numeric,
    Table,
    UniqueConstraint,
    Uuid,
)

from metering.domain.rollup import TOTALS

SOURCES = {"usage_endpoint_daily": "usage_records_daily", "usage_api_hourly": "usage_subscription_hourly"}
"""What each of them is summed from."""


def add_provider_tables(metadata: MetaData) -> None:
    """`metadata` holds usage_endpoint_daily and usage_api_hourly."""
    _add(metadata, "usage_endpoint_daily", Column("day", Date, nullable=False), "version_id", "endpoint_id")
    _add(metadata, "usage_api_hourly", Column("hour_start", DateTime(timezone=True), nullable=False))


def _add(metadata: MetaData, name: str, time: Column[object], *more: str) -> None:
    # The provider is in the key: an API that changes hands must not take its calls of before along.
    Table(
        name, metadata,
        time,
        Column("api_id", Uuid, nullable=False),
        *(Column(column, Uuid) for column in more),
        Column("is_test", Boolean, nullable=False),
        Column("provider_org", Uuid, nullable=False),
        *(Column(total, BigInteger, nullable=False) for total in TOTALS),
        Column("latency_histogram", Numeric, nullable=False),
        UniqueConstraint(
            "provider_org", time.name, "api_id", *more, "is_test", name=f"uq_{name}_bucket",
            postgresql_nulls_not_distinct=True,
        ),
    )  # fmt: skip
