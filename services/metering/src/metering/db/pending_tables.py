"""What batches add until it is folded, which is never looked up, and the hours that are open."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

_INSTANT = DateTime(timezone=True)
_IDS = ("api_id", "subscription_id", "plan_version_id", "key_id", "endpoint_id", "version_id")
_AMOUNTS = ("units", "bytes_in", "bytes_out", "latency_ms")
_COUNTS = (
    "calls", "billable_calls", "errors_4xx", "errors_5xx", "rejected_rate_limited", "rejected_forbidden",
    "rejected_unauthorized",
)  # fmt: skip


def add_pending_tables(metadata: MetaData) -> None:
    """`metadata` holds usage_pending, usage_delta and usage_open_hours."""
    _add_open_hours(metadata)
    # A count is a batch's at most, and PostgreSQL sums an integer without a numeric in between.
    Table(
        "usage_pending", metadata,
        Column("hour_start", _INSTANT, nullable=False),
        Column("last_at", _INSTANT, nullable=False),
        *(Column(name, BigInteger, nullable=False) for name in _AMOUNTS),
        *(Column(name, Integer, nullable=False) for name in _COUNTS),
        *_dimensions(),
        Column("example", Text),
        Column("latency_histogram", Numeric, nullable=False),
    )  # fmt: skip

    # The same, of workers of the version before, which add to `subscription_day` themselves.
    Table(
        "usage_delta", metadata,
        Column("hour_start", _INSTANT, nullable=False),
        *_dimensions(),
        Column("last_at", _INSTANT),  # of errors alone
        Column("example", Text),
        *(Column(name, BigInteger, nullable=False) for name in (*_COUNTS, *_AMOUNTS)),
        Column("latency_histogram", Numeric, nullable=False),
    )  # fmt: skip


def _add_open_hours(metadata: MetaData) -> None:
    # It inherits from usage_records_hourly. Few rows, so few indexes: each is paid for by folds.
    Table(
        "usage_open_hours", metadata,
        Column("hour_start", _INSTANT, nullable=False),
        *(Column(name, Uuid, nullable=name != "api_id") for name in _IDS),
        Column("is_test", Boolean, nullable=False),
        Column("consumer_org", Uuid, index=True),
        Column("provider_org", Uuid, nullable=False, index=True),
        *(Column(name, BigInteger, nullable=False) for name in (*_COUNTS, *_AMOUNTS)),
        Column("latency_histogram", Numeric, nullable=False, server_default="0"),
        UniqueConstraint(
            "subscription_id", "hour_start", "api_id", "plan_version_id", "key_id", "endpoint_id", "version_id",
            "is_test",
            name="uq_usage_open_hours_bucket", postgresql_nulls_not_distinct=True,
        ),
    )  # fmt: skip


def _dimensions() -> list[Column[object]]:
    return [
        *(Column(name, Uuid, nullable=name != "api_id") for name in _IDS),
        Column("is_test", Boolean, nullable=False),
        Column("consumer_org", Uuid),
        Column("provider_org", Uuid, nullable=False),
        Column("country", Text),
        Column("status", SmallInteger),  # it, the source and the example are of errors alone
        Column("source", Text),
    ]
