"""A copy of what metering says of a key's last use."""

from alembic import op

from common.migrations import grant, tenant_policy

revision = "0020_key_use"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("""
        CREATE TABLE key_use (
            key_id uuid NOT NULL,
            version integer NOT NULL,
            organisation_id uuid NOT NULL,
            last_used_at timestamptz NOT NULL,
            CONSTRAINT pk_key_use PRIMARY KEY (key_id)
        )""")
    grant(op, "subscriptions", "key_use", api="SELECT")
    tenant_policy(op, "key_use", consumer="organisation_id")
