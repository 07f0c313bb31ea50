"""What other services only show: when keys were last used, and how APIs do."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, Numeric, Table, Uuid, text

_INSTANT = DateTime(timezone=True)


def add_shown_tables(metadata: MetaData) -> None:
    """`metadata` holds key_use and api_statistics."""
    # `last_used_at` is the minute of the last use; due for publication as days are.
    Table(
        "key_use", metadata,
        Column("key_id", Uuid, primary_key=True),
        Column("subscription_id", Uuid, nullable=False),
        Column("consumer_org", Uuid, nullable=False),
        Column("last_used_at", _INSTANT, nullable=False),
        Column("version", Integer, nullable=False),
        Column("published_version", Integer, nullable=False, server_default="0"),
        Index("ix_key_use_due", "key_id", postgresql_where=text("version > published_version")),
    )  # fmt: skip

    # `changed_since` and `changed_at`: the first and the last change that may not be in the figures.
    Table(
        "api_statistics", metadata,
        Column("api_id", Uuid, primary_key=True),
        Column("calls", BigInteger, nullable=False, server_default="0"),
        Column("subscribers", Integer, nullable=False, server_default="0"),
        Column("latency_ms_p50", Integer),
        Column("latency_ms_p95", Integer),
        Column("uptime_percent", Numeric),
        Column("measured_at", _INSTANT),
        Column("version", Integer, nullable=False, server_default="0"),
        Column("published_version", Integer, nullable=False, server_default="0"),
        *(Column(name, _INSTANT) for name in ("changed_since", "changed_at", "renew_at")),
        *(Index(f"ix_api_statistics_{name}", name, postgresql_where=text(f"{name} IS NOT NULL"))
          for name in ("changed_since", "renew_at")),
    )  # fmt: skip
