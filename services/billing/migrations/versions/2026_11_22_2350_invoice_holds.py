"""Invoices that wait for an operator, because calls are missing from what was metered."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0002"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "invoice_hold",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("run_id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("counted", sa.BigInteger, nullable=False),
        sa.Column("metered", sa.BigInteger, nullable=False),
        sa.Column("missing", sa.BigInteger, nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("released_at", INSTANT),
        sa.Column("released_by", sa.Uuid),
        sa.Column("note", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_invoice_hold"),
        sa.UniqueConstraint("run_id", "subscription_id", name="uq_invoice_hold_run_id"),
    )
    op.create_index(
        "ix_invoice_hold_open",
        "invoice_hold",
        ["organisation_id"],
        postgresql_where=sa.text("released_at IS NULL"),
    )
    grant(op, "billing", "invoice_hold", api="SELECT")
    op.execute("REVOKE DELETE ON invoice_hold FROM billing_worker")  # who released what is evidence
    tenant_policy(op, "invoice_hold")
