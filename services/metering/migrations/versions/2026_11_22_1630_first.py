"""The request log, its rollups, quotas, cut-offs and the copies that attribution reads."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from common.migrations import common_tables_v1, grant, tenant_policy

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
DIMENSIONS = (
    "api_id",
    "subscription_id",
    "plan_version_id",
    "key_id",
    "endpoint_id",
    "version_id",
    "is_test",
)
TOTALS = (
    "calls", "billable_calls", "units", "errors_4xx", "errors_5xx", "rejected_rate_limited", "rejected_forbidden",
    "rejected_unauthorized", "bytes_in", "bytes_out", "latency_ms",
)  # fmt: skip

# The name holds "_p2", by which `alembic check` knows that partitions are not its business. LIKE and ATTACH rather
# than PARTITION OF: the parent is not locked against readers and writers. As the owner runs it, the partition is
# the owner's, and nobody is granted it: the policies of the parent would not cover a direct read.
ENSURE_PARTITION = """
CREATE FUNCTION ensure_request_log_partition(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    partition text := 'api_requests_log_p' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('api_requests_log partitions'));
    IF to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.api_requests_log INCLUDING DEFAULTS)', partition);
    EXECUTE format(
        'ALTER TABLE public.api_requests_log ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        partition, first::text || ' 00:00:00+00', (first + interval '1 month')::date::text || ' 00:00:00+00');
    RETURN true;
END $$"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    common_tables_v1(op, "metering")
    op.execute("GRANT SELECT ON kafka_offset TO metering_api")  # how far was read: `as_of`
    _create_request_log()
    _create_rollup("usage_records_hourly", sa.Column("hour_start", INSTANT, nullable=False))
    _create_rollup("usage_records_daily", sa.Column("day", sa.Date, nullable=False))
    _create_subscription_day()
    _create_quotas()
    _create_copies()
    _create_cutoffs()
    _create_side_tables()


def _create_request_log() -> None:
    op.create_table(
        "api_requests_log",
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("subscription_id", sa.Uuid),
        sa.Column("plan_version_id", sa.Uuid),
        sa.Column("key_id", sa.Uuid),
        sa.Column("is_test", sa.Boolean, nullable=False),
        sa.Column("consumer_org", sa.Uuid),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("version_id", sa.Uuid),
        sa.Column("endpoint_id", sa.Uuid),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("upstream_status", sa.SmallInteger),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("billable", sa.Boolean, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("latency_ms", sa.Integer, nullable=False),
        sa.Column("upstream_latency_ms", sa.Integer),
        sa.Column("gateway_latency_ms", sa.Integer, nullable=False),
        sa.Column("bytes_in", sa.BigInteger, nullable=False),
        sa.Column("bytes_out", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("started_at", "request_id", name="pk_api_requests_log"),
        postgresql_partition_by="RANGE (started_at)",
    )
    op.create_index(
        "ix_api_requests_log_subscription_id", "api_requests_log", ["subscription_id", "started_at"]
    )
    grant(op, "metering", "api_requests_log", api="SELECT")
    tenant_policy(op, "api_requests_log", consumer="consumer_org", provider="provider_org")
    op.execute(ENSURE_PARTITION)
    op.execute("REVOKE ALL ON FUNCTION ensure_request_log_partition(date) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION ensure_request_log_partition(date) TO metering_worker")


def _create_rollup(name: str, time: sa.Column) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        time,
        *(
            sa.Column(d, sa.Boolean, nullable=False)
            if d == "is_test"
            else sa.Column(d, sa.Uuid, nullable=d != "api_id")
            for d in DIMENSIONS
        ),
        sa.Column("consumer_org", sa.Uuid),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        *(sa.Column(total, sa.BigInteger, nullable=False) for total in TOTALS),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.UniqueConstraint(
            time.name, *DIMENSIONS, name=f"uq_{name}_bucket", postgresql_nulls_not_distinct=True
        ),
    )
    for column in ("consumer_org", "provider_org", "subscription_id"):
        op.create_index(f"ix_{name}_{column}", name, [column, time.name])
    op.execute(f"ALTER TABLE {name} SET (fillfactor = 70)")  # rows are added to in place all hour or day long
    grant(op, "metering", name, api="SELECT")
    tenant_policy(op, name, consumer="consumer_org", provider="provider_org")


def _create_subscription_day() -> None:
    op.create_table(
        "subscription_day",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("plan_version_id", sa.Uuid, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("consumer_org", sa.Uuid, nullable=False),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        sa.Column("api_id", sa.Uuid, nullable=False),
        *(sa.Column(total, sa.BigInteger, nullable=False) for total in TOTALS),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("published_version", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("subscription_id", "plan_version_id", "day", name="pk_subscription_day"),
    )
    op.create_table(
        "month_adjustment",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("plan_version_id", sa.Uuid, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("published_version", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("subscription_id", "plan_version_id", "month", name="pk_month_adjustment"),
    )
    due = sa.text("version > published_version")
    op.create_index("ix_subscription_day_due", "subscription_day", ["day"], postgresql_where=due)
    op.create_index("ix_month_adjustment_due", "month_adjustment", ["month"], postgresql_where=due)
    grant(op, "metering", "subscription_day", api="SELECT")
    grant(op, "metering", "month_adjustment", api="SELECT")
    # An operator's republish marks rows as due again; nothing else of them is the API's to change.
    op.execute("GRANT UPDATE (published_version) ON subscription_day, month_adjustment TO metering_api")
    tenant_policy(op, "subscription_day", consumer="consumer_org", provider="provider_org")
    tenant_policy(op, "month_adjustment")


def _create_quotas() -> None:
    op.create_table(
        "quota_usage",
        sa.Column("consumer_org", sa.Uuid, nullable=False),
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("consumer_org", "api_id", "month", name="pk_quota_usage"),
    )
    op.create_table(
        "quota_state",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("quota", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "month", name="pk_quota_state"),
    )
    grant(op, "metering", "quota_usage", api="SELECT")
    grant(op, "metering", "quota_state", api="SELECT")
    tenant_policy(op, "quota_usage", consumer="consumer_org", provider="provider_org")
    tenant_policy(op, "quota_state")


def _create_copies() -> None:
    op.create_table(
        "subscription",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("consumer_org", sa.Uuid, nullable=False),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("plan_version_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("quota", sa.BigInteger),
        sa.PrimaryKeyConstraint("subscription_id", name="pk_subscription"),
    )
    op.create_index("ix_subscription_counter", "subscription", ["consumer_org", "api_id"])
    op.create_table(
        "api_version",
        sa.Column("version_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("version_id", name="pk_api_version"),
    )
    op.create_table(
        "endpoint",
        sa.Column("endpoint_id", sa.Uuid, nullable=False),
        sa.Column("version_id", sa.Uuid, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("endpoint_id", name="pk_endpoint"),
    )
    op.create_index("ix_endpoint_version_id", "endpoint", ["version_id"])
    grant(op, "metering", "subscription", api="SELECT")
    grant(op, "metering", "api_version", api="SELECT")
    grant(op, "metering", "endpoint", api="SELECT")
    tenant_policy(op, "subscription", consumer="consumer_org", provider="provider_org")


def _create_cutoffs() -> None:
    op.create_table(
        "cutoff",
        sa.Column("cutoff_id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid),
        sa.Column("until", INSTANT, nullable=False),
        sa.Column("requested_at", INSTANT, nullable=False),
        sa.Column("answered_at", INSTANT),
        sa.PrimaryKeyConstraint("cutoff_id", name="pk_cutoff"),
    )
    op.create_index("ix_cutoff_waiting", "cutoff", ["until"], postgresql_where=sa.text("answered_at IS NULL"))
    op.create_table(
        "period_part",
        sa.Column("cutoff_id", sa.Uuid, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("answer", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("cutoff_id", "part", name="pk_period_part"),
    )
    op.create_table(
        "closed_month",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("organisation_id", sa.Uuid),
        sa.Column("closed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_closed_month"),
        sa.UniqueConstraint(
            "month", "organisation_id", name="uq_closed_month_month", postgresql_nulls_not_distinct=True
        ),
    )
    for table in ("cutoff", "closed_month"):
        grant(op, "metering", table, api="")
    grant(op, "metering", "period_part", api="SELECT")
    tenant_policy(op, "period_part")


def _create_side_tables() -> None:
    op.create_table(
        "quarantined_request",
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("entry", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("started_at_ms", "request_id", name="pk_quarantined_request"),
    )
    op.create_table(
        "file_position",
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("head_digest", sa.Text, nullable=False),
        sa.Column("head_bytes", sa.Integer, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_file_position"),
    )
    for table in ("quarantined_request", "file_position"):
        grant(op, "metering", table, api="")
