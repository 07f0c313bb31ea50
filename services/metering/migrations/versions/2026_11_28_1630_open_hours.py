"""Hours that are not over, in a small table with few indexes: folds add to it, and what is over is settled from there.

It inherits from the hours' table, so that what reads that one, a worker of the version before included, reads both.
"""

from alembic import op

from common.migrations import grant, tenant_policy

revision = "0013_open_hours"
down_revision = "0012_usage_pending"
branch_labels = None
depends_on = None

IDS = ("api_id", "subscription_id", "plan_version_id", "key_id", "endpoint_id", "version_id")
PARTIES = ("consumer_org", "provider_org")
TOTALS = (
    "calls", "billable_calls", "units", "errors_4xx", "errors_5xx", "rejected_rate_limited", "rejected_forbidden",
    "rejected_unauthorized", "bytes_in", "bytes_out", "latency_ms",
)  # fmt: skip
MEASURES = (*PARTIES, *TOTALS, "latency_histogram")
BUCKET = (
    "subscription_id", "hour_start", "api_id", "plan_version_id", "key_id", "endpoint_id", "version_id", "is_test",
)  # fmt: skip
DAY = "(hour_start AT TIME ZONE 'UTC')::date"
# Of each view: its columns, and those of them that an hour says otherwise.
VIEWS = {
    "usage_records_daily": (("day", *IDS, "is_test", *MEASURES), {"day": DAY}),
    "usage_subscription_hourly": (("hour_start", "api_id", "subscription_id", "is_test", *MEASURES), {}),
}
ORGANISATION = "(SELECT NULLIF(current_setting('app.organisation_id', true), '')::uuid)"
ADMIN = "(SELECT current_setting('app.platform_admin', true) = 'on')"
OWN = f"consumer_org = {ORGANISATION} OR provider_org = {ORGANISATION} OR {ADMIN}"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE TABLE usage_open_hours () INHERITS (usage_records_hourly) WITH (fillfactor = 70)")
    op.execute(
        "ALTER TABLE usage_open_hours ADD CONSTRAINT uq_usage_open_hours_bucket"
        f" UNIQUE NULLS NOT DISTINCT ({', '.join(BUCKET)})"
    )
    for party in PARTIES:
        op.create_index(f"ix_usage_open_hours_{party}", "usage_open_hours", [party])
    # Rows come and go every hour, and change all the time between.
    op.execute(
        "ALTER TABLE usage_open_hours SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,"
        " autovacuum_vacuum_cost_delay = 0)"
    )
    grant(op, "metering", "usage_open_hours", api="SELECT")
    tenant_policy(op, "usage_open_hours", consumer="consumer_org", provider="provider_org")
    op.execute(f"ALTER POLICY own ON usage_open_hours USING ({OWN}) WITH CHECK ({OWN})")
    for table, (columns, said) in VIEWS.items():
        stored = ", ".join(columns)
        hours = ", ".join(f"{said[name]} AS {name}" if name in said else name for name in columns)
        sources = ("usage_open_hours", "usage_delta", "usage_pending")
        parts = (f"SELECT {stored} FROM {table}", *(f"SELECT {hours} FROM {source}" for source in sources))
        op.execute(
            f"CREATE OR REPLACE VIEW {table}_now WITH (security_invoker = true) AS {' UNION ALL '.join(parts)}"
        )
