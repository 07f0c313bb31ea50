"""What batches add to the rollups, until it is folded into them; views that show each rollup with what is pending."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0010_usage_deltas"
down_revision = "0021_file_log_read_to"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
IDS = ("api_id", "subscription_id", "plan_version_id", "key_id", "endpoint_id", "version_id")
PARTIES = ("consumer_org", "provider_org")
TOTALS = (
    "calls", "billable_calls", "units", "errors_4xx", "errors_5xx", "rejected_rate_limited", "rejected_forbidden",
    "rejected_unauthorized", "bytes_in", "bytes_out", "latency_ms",
)  # fmt: skip
DAY = "(hour_start AT TIME ZONE 'UTC')::date"
# Of each view: the columns that the table and the deltas share, and how a delta says the others.
VIEWS = {
    "usage_records_hourly": (("hour_start", *IDS, "is_test"), {}, "true"),
    "usage_records_daily": ((*IDS, "is_test"), {"day": DAY}, "true"),
    "usage_subscription_hourly": (("hour_start", "api_id", "subscription_id", "is_test"), {}, "true"),
    "usage_country_daily": (
        ("api_id", "subscription_id", "country", "is_test"), {"day": DAY}, "country IS NOT NULL",
    ),
}  # fmt: skip
ERROR_COLUMNS = (
    "api_id",
    "subscription_id",
    "key_id",
    "endpoint_id",
    "version_id",
    "is_test",
    "status",
    "source",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "usage_delta",
        sa.Column("hour_start", INSTANT, nullable=False),
        *(sa.Column(name, sa.Uuid, nullable=name != "api_id") for name in IDS),
        sa.Column("is_test", sa.Boolean, nullable=False),
        sa.Column("consumer_org", sa.Uuid),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        sa.Column("country", sa.Text),
        sa.Column("status", sa.SmallInteger),
        sa.Column("source", sa.Text),
        sa.Column("last_at", INSTANT),
        sa.Column("example", sa.Text),
        *(sa.Column(total, sa.BigInteger, nullable=False) for total in TOTALS),
        sa.Column("latency_histogram", sa.Numeric, nullable=False),
    )
    # It is filled and emptied all day: what was folded must make room soon, or every reader passes it by.
    op.execute(
        "ALTER TABLE usage_delta SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,"
        " autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1)"
    )
    grant(op, "metering", "usage_delta", api="SELECT")
    tenant_policy(op, "usage_delta", consumer="consumer_org", provider="provider_org")
    for table, (shared, said, only) in VIEWS.items():
        columns = (*shared, *PARTIES, *TOTALS, "latency_histogram")
        _create_view(table, columns, said, only)
    _create_view(
        "usage_errors_daily", (*ERROR_COLUMNS, *PARTIES, "calls", "last_at"),
        {"day": DAY, "examples": "ARRAY[example]"}, "status IS NOT NULL",
    )  # fmt: skip
    # Nobody reads the numbers of these rows, and each new row had to go into an index of them.
    for table in (*VIEWS, "usage_errors_daily"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN id")
    # Quota counters are added to in place, batch by batch.
    op.execute("ALTER TABLE quota_usage SET (fillfactor = 70)")
    op.execute("ALTER TABLE subscription_day SET (fillfactor = 70)")


def _create_view(table: str, shared: tuple[str, ...], said: dict[str, str], only: str) -> None:
    stored = ", ".join((*said, *shared))
    pending = ", ".join((*(f"{expression} AS {name}" for name, expression in said.items()), *shared))
    # security_invoker: whoever reads the view is bound by the policies of both tables.
    op.execute(
        f"CREATE VIEW {table}_now WITH (security_invoker = true) AS"
        f" SELECT {stored} FROM {table} UNION ALL SELECT {pending} FROM usage_delta WHERE {only}"
    )
    op.execute(f"GRANT SELECT ON {table}_now TO metering_worker, metering_api")
