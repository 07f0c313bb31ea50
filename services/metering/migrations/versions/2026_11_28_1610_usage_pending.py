"""A second table of deltas, from which subscriptions' days and keys' last uses are folded as well.

A table of its own, for a worker of the version before adds these itself with each batch: neither may fold the other's.
"""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0012_usage_pending"
down_revision = "0011_policies_once"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
IDS = ("api_id", "subscription_id", "plan_version_id", "key_id", "endpoint_id", "version_id")
PARTIES = ("consumer_org", "provider_org")
AMOUNTS = ("units", "bytes_in", "bytes_out", "latency_ms")
COUNTS = (
    "calls", "billable_calls", "errors_4xx", "errors_5xx", "rejected_rate_limited", "rejected_forbidden",
    "rejected_unauthorized",
)  # fmt: skip
# In the order of the views that are there.
TOTALS = (*COUNTS[:2], "units", *COUNTS[2:], *AMOUNTS[1:])
MEASURES = (*PARTIES, *TOTALS, "latency_histogram")
DAY = "(hour_start AT TIME ZONE 'UTC')::date"
LIVE = (
    "NOT is_test AND subscription_id IS NOT NULL AND plan_version_id IS NOT NULL AND consumer_org IS NOT NULL"
)
# Of each view: its columns, those of them that a delta says otherwise, and which deltas are in it.
VIEWS = {
    "usage_records_hourly": (("hour_start", *IDS, "is_test", *MEASURES), {}, "true"),
    "usage_records_daily": (("day", *IDS, "is_test", *MEASURES), {"day": DAY}, "true"),
    "usage_subscription_hourly": (("hour_start", "api_id", "subscription_id", "is_test", *MEASURES), {}, "true"),
    "usage_country_daily": (
        ("day", "api_id", "subscription_id", "country", "is_test", *MEASURES), {"day": DAY}, "country IS NOT NULL",
    ),
    "usage_errors_daily": (
        (
            "day", "examples", "api_id", "subscription_id", "key_id", "endpoint_id", "version_id", "is_test", "status",
            "source", *PARTIES, "calls", "last_at",
        ),
        {"day": DAY, "examples": "ARRAY[example]"},
        "status IS NOT NULL",
    ),
}  # fmt: skip
OWN_DAYS = ("subscription_id", "plan_version_id", "day", *PARTIES, "api_id", *TOTALS)
ORGANISATION = "(SELECT NULLIF(current_setting('app.organisation_id', true), '')::uuid)"
ADMIN = "(SELECT current_setting('app.platform_admin', true) = 'on')"
OWN = f"consumer_org = {ORGANISATION} OR provider_org = {ORGANISATION} OR {ADMIN}"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # What never is NULL stands first: PostgreSQL then knows the places of these columns, and finds them faster.
    op.create_table(
        "usage_pending",
        sa.Column("hour_start", INSTANT, nullable=False),
        sa.Column("last_at", INSTANT, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in AMOUNTS),
        *(sa.Column(name, sa.Integer, nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Uuid, nullable=name != "api_id") for name in IDS),
        sa.Column("is_test", sa.Boolean, nullable=False),
        sa.Column("consumer_org", sa.Uuid),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        sa.Column("country", sa.Text),
        sa.Column("status", sa.SmallInteger),
        sa.Column("source", sa.Text),
        sa.Column("example", sa.Text),
        sa.Column("latency_histogram", sa.Numeric, nullable=False),
    )
    op.execute(
        "ALTER TABLE usage_pending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,"
        " autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1)"
    )
    grant(op, "metering", "usage_pending", api="SELECT")
    tenant_policy(op, "usage_pending", consumer="consumer_org", provider="provider_org")
    op.execute(f"ALTER POLICY own ON usage_pending USING ({OWN}) WITH CHECK ({OWN})")
    for table, (columns, said, only) in VIEWS.items():
        _put_view(table, columns, said, only, pending=("usage_delta", "usage_pending"))
    _put_view("subscription_day", OWN_DAYS, {"day": DAY}, LIVE, pending=("usage_pending",))
    op.execute("GRANT SELECT ON subscription_day_now TO metering_worker, metering_api")


def _put_view(
    table: str, columns: tuple[str, ...], said: dict[str, str], only: str, *, pending: tuple[str, ...]
) -> None:
    stored = ", ".join(columns)
    deltas = ", ".join(f"{said[name]} AS {name}" if name in said else name for name in columns)
    parts = [
        f"SELECT {stored} FROM {table}",
        *(f"SELECT {deltas} FROM {each} WHERE {only}" for each in pending),
    ]
    # security_invoker: whoever reads the view is bound by the policies of all these tables.
    op.execute(
        f"CREATE OR REPLACE VIEW {table}_now WITH (security_invoker = true) AS {' UNION ALL '.join(parts)}"
    )
