"""Who blocked an address and who let it in again: written with the change itself, and never changed."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "blocked_audit",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_user_id", sa.Uuid, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_blocked_audit"),
    )
    grant(op, "kong_sync", "blocked_audit", api="SELECT, INSERT")
    op.execute("REVOKE UPDATE, DELETE ON blocked_audit FROM kong_sync_worker")
    tenant_policy(op, "blocked_audit")
