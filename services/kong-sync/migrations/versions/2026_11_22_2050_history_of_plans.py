"""The history of passes that changed something or failed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from common.migrations import grant, tenant_policy

revision = "0004"
down_revision = "0007"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "reconcile_plan",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=False),
        sa.Column("passes", sa.Integer, nullable=False),
        sa.Column("change_count", sa.Integer, nullable=False),
        sa.Column("withheld_count", sa.Integer, nullable=False),
        sa.Column("failures", JSONB, nullable=False),
        sa.Column("canary_seen", sa.Boolean),
        sa.Column("error", sa.Text),
        sa.Column("changes", JSONB, nullable=False),
        sa.Column("withheld", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reconcile_plan"),
    )
    grant(op, "kong_sync", "reconcile_plan", api="SELECT, INSERT, UPDATE, DELETE")
    tenant_policy(op, "reconcile_plan")
