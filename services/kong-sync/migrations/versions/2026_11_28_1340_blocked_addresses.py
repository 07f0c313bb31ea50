"""The addresses whose calls an operator of the marketplace lets nobody's API see."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "blocked_address",
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("blocked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_blocked_address"),
    )
    grant(op, "kong_sync", "blocked_address", api="SELECT, INSERT, DELETE")
    tenant_policy(op, "blocked_address")
