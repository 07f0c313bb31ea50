"""The tables that the shared mechanism keeps in every service's own database."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

_INSTANT = DateTime(timezone=True)
COMMON_TABLES = ("outbox", "inbox", "kafka_offset", "dead_letter", "idempotency_key", "relay_state")


def add_common_tables(metadata: MetaData) -> None:
    """`metadata` holds outbox, inbox, kafka_offset, dead_letter, idempotency_key and relay_state."""
    _add_outbox(metadata)
    _add_reading(metadata)
    Table(
        "idempotency_key", metadata,
        Column("caller", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("request_hash", LargeBinary, nullable=False),
        Column("status", SmallInteger),
        Column("answer", JSONB),
        Column("created_at", _INSTANT, nullable=False, index=True),
    )  # fmt: skip


def _add_outbox(metadata: MetaData) -> None:
    Table(
        "outbox", metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("event_id", Uuid, nullable=False),
        Column("topic", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("created_at", _INSTANT, nullable=False),
        Column("sent_at", _INSTANT),
        Index("ix_outbox_unsent", "id", postgresql_where=text("sent_at IS NULL")),
        Index("ix_outbox_sent_at", "sent_at"),
    )  # fmt: skip
    Table(
        "relay_state", metadata,
        Column("name", Text, primary_key=True),
        Column("cluster_id", Text, nullable=False),
        Column("updated_at", _INSTANT, nullable=False),
    )  # fmt: skip


def _add_reading(metadata: MetaData) -> None:
    Table(
        "inbox", metadata,
        Column("event_id", Uuid, primary_key=True),
        Column("topic", Text, nullable=False),
        Column("received_at", _INSTANT, nullable=False, index=True),
    )  # fmt: skip
    Table(
        "kafka_offset", metadata,
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("cluster_id", Text, nullable=False),
        Column("next_offset", BigInteger, nullable=False),
        Column("last_digest", LargeBinary),
        Column("high_watermark", BigInteger, nullable=False, server_default="0"),
        Column("watermark_at", _INSTANT),
        Column("updated_at", _INSTANT, nullable=False),
    )  # fmt: skip
    Table(
        "dead_letter", metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("topic", Text, nullable=False),
        Column("partition", Integer, nullable=False),
        Column("record_offset", BigInteger, nullable=False),
        Column("reason", Text, nullable=False),
        Column("payload", Text, nullable=False),
        Column("created_at", _INSTANT, nullable=False),
    )  # fmt: skip
