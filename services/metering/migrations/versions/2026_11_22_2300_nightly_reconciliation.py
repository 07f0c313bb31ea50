"""What each night's reconciliation found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from common.migrations import grant, tenant_policy

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "reconciliation_run",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("first", sa.Date, nullable=False),
        sa.Column("last", sa.Date, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=False),
        sa.Column("compared", JSONB, nullable=False),
        sa.Column("differing", sa.BigInteger, nullable=False),
        sa.Column("found", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_reconciliation_run"),
    )
    grant(op, "metering", "reconciliation_run", api="SELECT")
    tenant_policy(op, "reconciliation_run")
