"""What usage is proved by: the gateway's own counts, how much of them is metered, and the roots of sealed hours."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

_INSTANT = DateTime(timezone=True)


def add_proof_tables(metadata: MetaData) -> None:
    """`metadata` holds gateway_node, gateway_counter, gateway_span, gateway_requests, completeness and usage_root."""
    _add_gateway(metadata)
    _add_roots(metadata)


def _add_gateway(metadata: MetaData) -> None:
    Table(
        "gateway_node", metadata,
        Column("node", Text, primary_key=True),
        Column("requests_total", BigInteger, nullable=False),
        Column("read_at", _INSTANT, nullable=False),
    )  # fmt: skip

    # Each node's counters as they were read last.
    Table(
        "gateway_counter", metadata,
        *(Column(name, Text, primary_key=True) for name in ("node", "service", "route", "consumer")),
        Column("requests", BigInteger, nullable=False),
    )  # fmt: skip

    Table(
        "gateway_span", metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        *(Column(name, _INSTANT, nullable=False) for name in ("began_from", "began_to", "until_from", "until_to")),
        Column("is_open", Boolean, nullable=False),
        Column("judged_at", _INSTANT),
        Column("judgements", Integer, nullable=False, server_default="0"),
        Column("missing", BigInteger, nullable=False, server_default="0"),
        Index("uq_gateway_span_is_open", "is_open", unique=True, postgresql_where=text("is_open")),
        Index("ix_gateway_span_began_from", "began_from"),
        Index("ix_gateway_span_until_from", "until_from"),
    )  # fmt: skip

    Table(
        "gateway_requests", metadata,
        Column("span_id", BigInteger, ForeignKey("gateway_span.id", ondelete="CASCADE"), primary_key=True),
        *(Column(name, Text, primary_key=True) for name in ("node", "service", "route", "consumer")),
        *(Column(name, Uuid) for name in ("version_id", "api_id", "subscription_id")),
        Column("requests", BigInteger, nullable=False),
    )  # fmt: skip

    # Calls counted and metered in a span; `before` and `after` are those near its ends.
    Table(
        "completeness", metadata,
        Column("span_id", BigInteger, ForeignKey("gateway_span.id", ondelete="CASCADE"), nullable=False),
        Column("api_id", Uuid, nullable=False),
        Column("subscription_id", Uuid),
        Column("provider_org", Uuid),
        *(Column(name, BigInteger, nullable=False) for name in ("counted", "metered", "before", "after")),
        UniqueConstraint(
            "span_id", "api_id", "subscription_id", name="uq_completeness_span_id", postgresql_nulls_not_distinct=True
        ),
    )  # fmt: skip


def _add_roots(metadata: MetaData) -> None:
    Table(
        "usage_root", metadata,
        Column("subscription_id", Uuid, primary_key=True),
        Column("plan_version_id", Uuid, primary_key=True),
        Column("hour_start", _INSTANT, primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("root", LargeBinary, nullable=False),
        *(Column(name, BigInteger, nullable=False) for name in ("calls", "billable_calls", "units")),
        Column("consumer_org", Uuid, nullable=False),
        Column("provider_org", Uuid, nullable=False),
        Column("made_at", _INSTANT, nullable=False),
    )  # fmt: skip
