"""Hours of whole APIs and days of endpoints, whoever called; and one view of what is unsettled.

Triggers keep them, so that they are right whoever adds to the tables that they are summed from: a worker of the version
before does not know of them.
"""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0014_usage_of_apis"
down_revision = "0013_open_hours"
branch_labels = None
depends_on = None

IDS = ("api_id", "subscription_id", "plan_version_id", "key_id", "endpoint_id", "version_id")
TOTALS = (
    "calls", "billable_calls", "units", "errors_4xx", "errors_5xx", "rejected_rate_limited", "rejected_forbidden",
    "rejected_unauthorized", "bytes_in", "bytes_out", "latency_ms",
)  # fmt: skip
MEASURES = (*TOTALS, "latency_histogram")
# Of each table: what it is summed from, its time, and what else tells its rows apart.
TABLES = {
    "usage_endpoint_daily": (
        "usage_records_daily", sa.Column("day", sa.Date, nullable=False), ("version_id", "endpoint_id"),
    ),
    "usage_api_hourly": (
        "usage_subscription_hourly", sa.Column("hour_start", sa.DateTime(timezone=True), nullable=False), (),
    ),
}  # fmt: skip
DAY = "(hour_start AT TIME ZONE 'UTC')::date"
ORGANISATION = "(SELECT NULLIF(current_setting('app.organisation_id', true), '')::uuid)"
ADMIN = "(SELECT current_setting('app.platform_admin', true) = 'on')"
OWN = f"provider_org = {ORGANISATION} OR {ADMIN}"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, (source, time, more) in TABLES.items():
        _create(table, time, more)
        _keep(table, source, ("provider_org", time.name, "api_id", *more, "is_test"))
    _show_what_is_unsettled()


def _create(table: str, time: sa.Column, more: tuple[str, ...]) -> None:
    op.create_table(
        table,
        time,
        sa.Column("api_id", sa.Uuid, nullable=False),
        *(sa.Column(name, sa.Uuid) for name in more),
        sa.Column("is_test", sa.Boolean, nullable=False),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in TOTALS),
        sa.Column("latency_histogram", sa.Numeric, nullable=False),
        # The provider is in the key: an API that changes hands must not take its calls of before along.
        sa.UniqueConstraint(
            "provider_org", time.name, "api_id", *more, "is_test", name=f"uq_{table}_bucket",
            postgresql_nulls_not_distinct=True,
        ),
    )  # fmt: skip
    op.execute(f"ALTER TABLE {table} SET (fillfactor = 70)")  # rows are added to in place
    grant(op, "metering", table, api="SELECT")
    tenant_policy(op, table, provider="provider_org")
    op.execute(f"ALTER POLICY own ON {table} USING ({OWN}) WITH CHECK ({OWN})")


def _keep(table: str, source: str, keys: tuple[str, ...]) -> None:
    names, both = ", ".join(keys), ", ".join(f"{name} = t.{name} + excluded.{name}" for name in MEASURES)

    def add(rows: str, sign: str = "") -> str:
        sums = ", ".join(f"{sign}sum({name})" for name in MEASURES)
        return (
            f"INSERT INTO {table} AS t ({names}, {', '.join(MEASURES)}) SELECT {names}, {sums} FROM {rows}"
            f" GROUP BY {names} ORDER BY {names} ON CONFLICT ({names}) DO UPDATE SET {both};"
        )

    # Tables are named without their schema, so that a replay into temporary tables adds to its own.
    op.execute(f"""
        CREATE FUNCTION add_to_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            {add("added")}
            IF TG_OP = 'UPDATE' THEN
                {add("removed", "-")}
            END IF;
            RETURN NULL;
        END $$""")
    for event, rows in (
        ("insert", "NEW TABLE AS added"),
        ("update", "OLD TABLE AS removed NEW TABLE AS added"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_after_{event} AFTER {event.upper()} ON {source} REFERENCING {rows}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION add_to_{table}()"
        )
    # From here on nobody else writes the source until this commits: making a trigger has locked it.
    op.execute(add(source))


def _show_what_is_unsettled() -> None:
    columns = ", ".join(("hour_start", *IDS, "is_test", "consumer_org", "provider_org", *MEASURES))
    sources = ("usage_open_hours", "usage_delta", "usage_pending")
    selects = " UNION ALL ".join(f"SELECT {columns} FROM {source}" for source in sources)
    op.execute(f"CREATE VIEW usage_unsettled WITH (security_invoker = true) AS {selects}")
    op.execute("GRANT SELECT ON usage_unsettled TO metering_worker, metering_api")
    for table, (_source, time, more) in TABLES.items():
        columns = (time.name, "api_id", *more, "is_test", "provider_org", *MEASURES)
        hours = ", ".join(f"{DAY} AS day" if name == "day" else name for name in columns)
        op.execute(
            f"CREATE VIEW {table}_now WITH (security_invoker = true) AS SELECT {', '.join(columns)} FROM {table}"
            f" UNION ALL SELECT {hours} FROM usage_unsettled"
        )
        op.execute(f"GRANT SELECT ON {table}_now TO metering_worker, metering_api")
