"""When each key was last used, and what the catalogue shows of each API."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0020_keys_and_statistics"
down_revision = "0005c"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "key_use",
        sa.Column("key_id", sa.Uuid, nullable=False),
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("consumer_org", sa.Uuid, nullable=False),
        sa.Column("last_used_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("published_version", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("key_id", name="pk_key_use"),
    )
    op.create_index(
        "ix_key_use_due", "key_use", ["key_id"], postgresql_where=sa.text("version > published_version")
    )
    op.create_table(
        "api_statistics",
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("subscribers", sa.Integer, nullable=False, server_default="0"),
        sa.Column("latency_ms_p50", sa.Integer),
        sa.Column("latency_ms_p95", sa.Integer),
        sa.Column("uptime_percent", sa.Numeric),
        sa.Column("measured_at", INSTANT),
        sa.Column("version", sa.Integer, nullable=False, server_default="0"),
        sa.Column("published_version", sa.Integer, nullable=False, server_default="0"),
        sa.Column("changed_since", INSTANT),
        sa.Column("changed_at", INSTANT),
        sa.Column("renew_at", INSTANT),
        sa.PrimaryKeyConstraint("api_id", name="pk_api_statistics"),
    )
    for column in ("changed_since", "renew_at"):
        op.create_index(
            f"ix_api_statistics_{column}", "api_statistics", [column],
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )  # fmt: skip
    for table in ("key_use", "api_statistics"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 70)")  # rows are changed in place
        grant(op, "metering", table, api="SELECT")
        tenant_policy(op, table)  # an operator has them published again; nobody else reads them here
    op.execute("GRANT UPDATE (published_version) ON key_use TO metering_api")
    op.execute("GRANT UPDATE (published_version, renew_at) ON api_statistics TO metering_api")
    _begin_with_what_is_there()


def _begin_with_what_is_there() -> None:
    # Of what was counted before, the hour is known.
    op.execute("""
        INSERT INTO key_use (key_id, subscription_id, consumer_org, last_used_at, version)
        SELECT DISTINCT ON (key_id) key_id, subscription_id, consumer_org, hour_start, 1 FROM usage_records_hourly
        WHERE key_id IS NOT NULL AND subscription_id IS NOT NULL AND consumer_org IS NOT NULL
        ORDER BY key_id, hour_start DESC""")
    op.execute("""
        INSERT INTO api_statistics (api_id, renew_at) SELECT DISTINCT api_id, now() FROM usage_records_daily
        WHERE day > current_date - 31""")
