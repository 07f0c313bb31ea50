"""Alembic: how every service's `migrations/env.py` runs, and the statements that its migrations share.

Functions whose name ends in `_v1` are frozen: a migration that ran must always mean the same.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from alembic import context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

# Any constant will do; it only has to be the same for every migration of one database.
_MIGRATION_LOCK = 4_203_117_001

# Written out, not made from common.tables: a table that changes there needs a migration in every service.
_COMMON_TABLES_V1 = {
    "outbox": """
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id uuid NOT NULL,
        topic text NOT NULL,
        key text NOT NULL,
        headers jsonb NOT NULL,
        payload bytea NOT NULL,
        created_at timestamptz NOT NULL,
        sent_at timestamptz""",
    "relay_state": """
        name text PRIMARY KEY,
        cluster_id text NOT NULL,
        updated_at timestamptz NOT NULL""",
    "inbox": """
        event_id uuid PRIMARY KEY,
        topic text NOT NULL,
        received_at timestamptz NOT NULL""",
    "kafka_offset": """
        topic text NOT NULL,
        partition integer NOT NULL,
        cluster_id text NOT NULL,
        next_offset bigint NOT NULL,
        last_digest bytea,
        high_watermark bigint NOT NULL DEFAULT 0,
        watermark_at timestamptz,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (topic, partition)""",
    "dead_letter": """
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        topic text NOT NULL,
        partition integer NOT NULL,
        record_offset bigint NOT NULL,
        reason text NOT NULL,
        payload text NOT NULL,
        created_at timestamptz NOT NULL""",
    "idempotency_key": """
        caller text NOT NULL,
        key text NOT NULL,
        request_hash bytea NOT NULL,
        status smallint,
        answer jsonb,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (caller, key)""",
}
_COMMON_INDEXES_V1 = (
    "CREATE INDEX ix_outbox_unsent ON outbox (id) WHERE sent_at IS NULL",
    "CREATE INDEX ix_outbox_sent_at ON outbox (sent_at)",
    "CREATE INDEX ix_inbox_received_at ON inbox (received_at)",
    "CREATE INDEX ix_idempotency_key_created_at ON idempotency_key (created_at)",
)


def run_env(metadata: MetaData) -> None:
    """The body of a service's `env.py`: migrate the database of DATABASE_OWNER_URL under an advisory lock."""
    url = context.config.attributes.get("url") or os.environ["DATABASE_OWNER_URL"]  # noqa: TID251

    def migrate(connection: Connection) -> None:
        context.configure(
            connection=connection, target_metadata=metadata, include_name=_ours, compare_type=True
        )
        with context.begin_transaction():
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            context.run_migrations()

    async def run() -> None:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
            await connection.commit()
        await engine.dispose()

    asyncio.run(run())


def _ours(name: str | None, type_: str, _: Any) -> bool:
    # Monthly partitions are made by the service as time goes on; migrations know only their parent.
    return not (type_ == "table" and name is not None and "_p2" in name)


def common_tables_v1(op: Any, service: str) -> None:
    """The shared tables exist. The API role may add to outbox and dead_letter and use its idempotency keys."""
    for name, columns in _COMMON_TABLES_V1.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
        grant(op, service, name, api="")
    for index in _COMMON_INDEXES_V1:
        op.execute(index)
    op.execute(f"GRANT INSERT ON outbox, dead_letter TO {service}_api")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON idempotency_key TO {service}_api")
    # A stored answer holds what its organisation was told; `caller` begins with its id.
    own = "split_part(caller, ':', 1) = coalesce(current_setting('app.organisation_id', true), '')"
    op.execute("ALTER TABLE idempotency_key ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own ON idempotency_key USING ({own}) WITH CHECK ({own})")


def grant(op: Any, service: str, table: str, *, api: str) -> None:
    """The worker role may do everything to the rows of `table`, the API role what `api` says ("SELECT, INSERT")."""
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {service}_worker")
    if api:
        op.execute(f"GRANT {api} ON {table} TO {service}_api")


def tenant_policy(
    op: Any,
    table: str,
    *,
    consumer: str | None = None,
    provider: str | None = None,
    public_where: str | None = None,
) -> None:
    """Row-level security on `table`: the API role sees and writes its own organisation's rows, an admin all.

    `consumer` and `provider` name the columns that hold an owning organisation; `public_where` is a condition under
    which anybody may read a row (never write it).
    """
    # current_setting is '' on a reused connection, and ''::uuid would raise.
    organisation = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"
    owner = [f"{column} = {organisation}" for column in (consumer, provider) if column]
    own = " OR ".join([*owner, "current_setting('app.platform_admin', true) = 'on'"])
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own ON {table} USING ({own}) WITH CHECK ({own})")
    if public_where:
        op.execute(f"CREATE POLICY everybody_reads ON {table} FOR SELECT USING ({public_where})")


def upgrade(ini: Path, url: str) -> None:
    """The database at `url` (the owner's) has every migration of the service whose alembic.ini is `ini`."""
    from alembic import command  # noqa: PLC0415 - only the migration command needs it

    config = Config(str(ini))
    config.attributes["url"] = url
    command.upgrade(config, "head")


def main() -> None:
    """`python -m common.migrations INI=URL_VARIABLE …`: upgrade each, in one process."""
    for argument in sys.argv[1:]:
        ini, variable = argument.split("=", 1)
        upgrade(Path(ini), os.environ[variable])  # noqa: TID251


if __name__ == "__main__":
    main()
