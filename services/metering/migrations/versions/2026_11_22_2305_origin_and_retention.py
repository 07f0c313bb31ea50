"""Where a call came from, and how far back the log reaches."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant

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


def _create_reach() -> None:
    op.create_table(
        "request_log_reach",
        sa.Column("one_row", sa.Boolean, sa.CheckConstraint("one_row", name="ck_request_log_reach_one_row")),
        sa.Column("rows_from", INSTANT, nullable=False),
        sa.Column("nets_from", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("one_row", name="pk_request_log_reach"),
    )
    op.execute("INSERT INTO request_log_reach VALUES (true, '2000-01-01Z', '2000-01-01Z')")
    grant(op, "metering", "request_log_reach", api="SELECT")
    op.execute(ENSURE_PARTITION)
    op.execute(DROP_PARTITIONS)
    op.execute("REVOKE ALL ON FUNCTION drop_request_log_partitions(date) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION drop_request_log_partitions(date) TO metering_worker")
