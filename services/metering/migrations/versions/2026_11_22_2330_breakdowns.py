"""Hours by subscription, days by country, days of errors with examples; an index of the errors in the log."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0004b"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
TOTALS = (
    "calls", "billable_calls", "units", "errors_4xx", "errors_5xx", "rejected_rate_limited", "rejected_forbidden",
    "rejected_unauthorized", "bytes_in", "bytes_out", "latency_ms",
)  # fmt: skip
COUNTED = {
    "calls": "1", "billable_calls": "billable::int", "units": "units",
    "errors_4xx": "(status BETWEEN 400 AND 499 AND NOT (source <> 'upstream' AND status IN (401, 403, 429)))::int",
    "errors_5xx": "(status >= 500)::int",
    "rejected_rate_limited": "(source <> 'upstream' AND status = 429)::int",
    "rejected_forbidden": "(source <> 'upstream' AND status = 403)::int",
    "rejected_unauthorized": "(source <> 'upstream' AND status = 401)::int",
    "bytes_in": "bytes_in", "bytes_out": "bytes_out", "latency_ms": "latency_ms",
}  # fmt: skip


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create("usage_subscription_hourly", sa.Column("hour_start", INSTANT, nullable=False), ())
    _create("usage_country_daily", sa.Column("day", sa.Date, nullable=False), ("country",))
    _create_errors()
    op.create_index(
        "ix_api_requests_log_errors", "api_requests_log", ["subscription_id", "started_at"],
        postgresql_where=sa.text("status >= 400"),
    )  # fmt: skip
    _count_what_is_there()


def _create(name: str, time: sa.Column, more: tuple[str, ...]) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        time,
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("subscription_id", sa.Uuid),
        *(sa.Column(column, sa.Text, nullable=False) for column in more),
        sa.Column("is_test", sa.Boolean, nullable=False),
        sa.Column("consumer_org", sa.Uuid),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        *(sa.Column(total, sa.BigInteger, nullable=False) for total in TOTALS),
        sa.Column("latency_histogram", sa.Numeric, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.UniqueConstraint(
            time.name, "api_id", "subscription_id", *more, "is_test", name=f"uq_{name}_bucket",
            postgresql_nulls_not_distinct=True,
        ),
    )  # fmt: skip
    _finish(name, time.name)


def _create_errors() -> None:
    name = "usage_errors_daily"
    op.create_table(
        name,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("api_id", sa.Uuid, nullable=False),
        *(
            sa.Column(column, sa.Uuid)
            for column in ("subscription_id", "key_id", "endpoint_id", "version_id")
        ),
        sa.Column("is_test", sa.Boolean, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("consumer_org", sa.Uuid),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("last_at", INSTANT, nullable=False),
        sa.Column("examples", sa.ARRAY(sa.Text), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.UniqueConstraint(
            "day", "api_id", "subscription_id", "key_id", "endpoint_id", "version_id", "is_test", "status", "source",
            name=f"uq_{name}_bucket", postgresql_nulls_not_distinct=True,
        ),
    )  # fmt: skip
    _finish(name, "day")


def _finish(name: str, time: str) -> None:
    for column in ("consumer_org", "provider_org"):
        op.create_index(f"ix_{name}_{column}", name, [column, time])
    op.execute(f"ALTER TABLE {name} SET (fillfactor = 70)")  # rows are added to in place
    grant(op, "metering", name, api="SELECT")
    tenant_policy(op, name, consumer="consumer_org", provider="provider_org")


def _count_what_is_there() -> None:
    totals = ", ".join(TOTALS)
    sums = ", ".join(f"sum({name})" for name in (*TOTALS, "latency_histogram"))
    keys = "hour_start, api_id, subscription_id, is_test, consumer_org, provider_org"
    op.execute(
        f"INSERT INTO usage_subscription_hourly ({keys}, {totals}, latency_histogram)"
        f" SELECT {keys}, {sums} FROM usage_records_hourly GROUP BY {keys}"
    )
    # The countries only came with the migration before: few rows have one, and their latencies are counted as well.
    keys = "api_id, subscription_id, country, is_test, consumer_org, provider_org"
    bounds = "{" + ",".join(map(str, _lower_bounds()[1:])) + "}"
    counted = ", ".join(f"sum({COUNTED[name]})" for name in TOTALS)
    op.execute(
        f"INSERT INTO usage_country_daily (day, {keys}, {totals}, latency_histogram)"
        f" SELECT (started_at AT TIME ZONE 'UTC')::date, {keys}, {counted},"
        f" sum(('1e' || 12 * width_bucket(latency_ms, '{bounds}'::int[]))::numeric)"
        f" FROM api_requests_log WHERE country IS NOT NULL GROUP BY 1, {keys}"
    )
    keys = "api_id, subscription_id, key_id, endpoint_id, version_id, is_test, status, source"
    keys += ", consumer_org, provider_org"
    op.execute(
        f"INSERT INTO usage_errors_daily (day, {keys}, calls, last_at, examples)"
        f" SELECT (started_at AT TIME ZONE 'UTC')::date, {keys}, count(*), max(started_at),"
        " (array_agg(request_id ORDER BY started_at DESC))[1:5]"
        f" FROM api_requests_log WHERE status >= 400 GROUP BY 1, {keys}"
    )


def _lower_bounds() -> list[int]:
    bounds, low = [], 0
    while low < 3_600_000:
        bounds.append(low)
        low = (low if low < 40 else low * 109 // 100) + 1
    return bounds
