"""Where a call came from, how far back the log reaches, what keys and APIs are told of their use."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0003"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)

# What was dropped is not made again: rows of it could no longer be told from repeats.
ENSURE_PARTITION = """
CREATE OR REPLACE FUNCTION ensure_request_log_partition(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    partition text := 'api_requests_log_p' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('api_requests_log partitions'));
    IF to_regclass('public.' || partition) IS NOT NULL
       OR EXISTS (SELECT FROM public.request_log_reach WHERE rows_from > first::timestamp AT TIME ZONE 'UTC') THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.api_requests_log INCLUDING DEFAULTS)', partition);
    EXECUTE format(
        'ALTER TABLE public.api_requests_log ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        partition, first::text || ' 00:00:00+00', (first + interval '1 month')::date::text || ' 00:00:00+00');
    RETURN true;
END $$"""

# The floor of 45 days stands here too, whatever a setting says: a call younger than that may still arrive, and only
# its row tells whether it was counted. The lock on the parent is waited for briefly, for everybody waits behind it.
DROP_PARTITIONS = """
CREATE FUNCTION drop_request_log_partitions(before date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    first date := date_trunc('month', before)::date;
    reach timestamptz := first::timestamp AT TIME ZONE 'UTC';
    partition text;
    dropped integer := 0;
BEGIN
    IF reach > transaction_timestamp() - interval '45 days' THEN
        RAISE EXCEPTION 'calls of before % may still count', first USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('api_requests_log partitions'));
    FOR partition IN
        SELECT c.relname FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid
        WHERE inhparent = 'public.api_requests_log'::regclass
            AND c.relname < 'api_requests_log_p' || to_char(first, 'YYYY_MM') ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE public.%I', partition);
        dropped := dropped + 1;
    END LOOP;
    UPDATE public.request_log_reach SET rows_from = reach WHERE rows_from < reach;
    RETURN dropped;
END $$"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("api_requests_log", sa.Column("country", sa.Text))
    op.add_column("api_requests_log", sa.Column("client_net", sa.Text))
    _create_reach()
    _create_key_use()
    _create_api_statistics()


def _create_reach() -> None:
    op.create_table(
        "request_log_reach",
        sa.Column("one_row", sa.Boolean, sa.CheckConstraint("one_row", name="ck_request_log_reach_one_row")),
        sa.Column("rows_from", INSTANT, nullable=False),
        sa.Column("nets_from", INSTANT, nullable=False),
        sa.Column("use_read_to", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("one_row", name="pk_request_log_reach"),
    )
    op.execute("INSERT INTO request_log_reach VALUES (true, '2000-01-01Z', '2000-01-01Z', '2000-01-01Z')")
    grant(op, "metering", "request_log_reach", api="SELECT")
    op.execute(ENSURE_PARTITION)
    op.execute(DROP_PARTITIONS)
    op.execute("REVOKE ALL ON FUNCTION drop_request_log_partitions(date) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION drop_request_log_partitions(date) TO metering_worker")


def _create_key_use() -> None:
    op.create_table(
        "key_use",
        sa.Column("key_id", sa.Uuid, nullable=False),
        sa.Column("consumer_org", sa.Uuid, nullable=False),
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("last_used_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("published_version", sa.Integer, nullable=False, server_default="0"),
        sa.Column("published_at", INSTANT),
        sa.PrimaryKeyConstraint("key_id", name="pk_key_use"),
    )
    op.create_index(
        "ix_key_use_due", "key_use", ["published_at"], postgresql_where=sa.text("version > published_version")
    )
    grant(op, "metering", "key_use", api="SELECT")
    op.execute("GRANT UPDATE (published_version, published_at) ON key_use TO metering_api")
    tenant_policy(op, "key_use", consumer="consumer_org")


def _create_api_statistics() -> None:
    op.create_table(
        "api_statistics",
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("latency_ms", sa.Integer),
        sa.Column("uptime_ppm", sa.Integer),
        sa.Column("as_of", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("published_version", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("api_id", name="pk_api_statistics"),
    )
    grant(op, "metering", "api_statistics", api="SELECT")
    op.execute("GRANT UPDATE (published_version) ON api_statistics TO metering_api")
    tenant_policy(op, "api_statistics", provider="provider_org")
