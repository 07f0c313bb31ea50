"""What a subscription's usage of a month costs so far, as last published."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "spend",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("due", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "month", name="pk_spend"),
    )
    op.create_index("ix_spend_due", "spend", ["organisation_id"], postgresql_where=sa.text("due"))
    grant(op, "billing", "spend", api="SELECT")
    tenant_policy(op, "spend", consumer="organisation_id")
