"""Hours and days count latencies by bucket: one number whose digits of base 10^12 are the counts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = {
    "usage_records_hourly": ("hour_start", "date_trunc('hour', started_at, 'UTC')"),
    "usage_records_daily": ("day", "(started_at AT TIME ZONE 'UTC')::date"),
}
DIMENSIONS = (
    "api_id",
    "subscription_id",
    "plan_version_id",
    "key_id",
    "endpoint_id",
    "version_id",
    "is_test",
)


def _lower_bounds() -> list[int]:
    bounds, low = [], 0
    while low < 3_600_000:
        bounds.append(low)
        low = (low if low < 40 else low * 109 // 100) + 1
    return bounds


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, (time, bucket) in TABLES.items():
        op.add_column(table, sa.Column("latency_histogram", sa.Numeric, nullable=False, server_default="0"))
        _count_what_is_there(table, time, bucket)


def _count_what_is_there(table: str, time: str, bucket: str) -> None:
    keys = ", ".join(DIMENSIONS)
    same = " AND ".join(f"t.{name} IS NOT DISTINCT FROM r.{name}" for name in DIMENSIONS)
    bounds = "{" + ",".join(map(str, _lower_bounds()[1:])) + "}"
    unit = f"('1e' || 12 * width_bucket(latency_ms, '{bounds}'::int[]))::numeric"
    op.execute(
        f"UPDATE {table} AS t SET latency_histogram = r.histogram FROM (SELECT {bucket} AS bucket, {keys},"
        f" sum({unit}) AS histogram FROM api_requests_log GROUP BY {bucket}, {keys}) AS r"
        f" WHERE t.{time} = r.bucket AND {same}"
    )
