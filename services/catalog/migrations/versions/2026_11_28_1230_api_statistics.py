"""A copy of what metering says of an API's use."""

from alembic import op

from common.migrations import grant, tenant_policy

revision = "0020_api_statistics"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("""
        CREATE TABLE api_statistics (
            api_id uuid NOT NULL,
            version integer NOT NULL,
            days integer NOT NULL,
            calls bigint NOT NULL,
            subscribers integer NOT NULL,
            latency_ms_p50 integer,
            latency_ms_p95 integer,
            uptime_percent numeric,
            measured_at timestamptz NOT NULL,
            CONSTRAINT pk_api_statistics PRIMARY KEY (api_id)
        )""")
    grant(op, "catalog", "api_statistics", api="SELECT")
    # Whoever may see the API may see how it does: the inner query passes the policies of `api`.
    tenant_policy(
        op, "api_statistics", public_where="EXISTS (SELECT FROM api WHERE api.id = api_statistics.api_id)"
    )
