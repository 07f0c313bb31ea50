"""Whose wishes are to be brought to the gateway next, and what we last wrote there."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from common.migrations import grant, tenant_policy

revision = "0002"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "due_owner",
        sa.Column("seq", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("concern", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("due_at", INSTANT),
        sa.Column("noted_at", INSTANT, nullable=False, server_default=sa.text("clock_timestamp()")),
        sa.PrimaryKeyConstraint("seq", name="pk_due_owner"),
    )
    op.create_index("ix_due_owner_owner", "due_owner", ["concern", "id"])
    op.create_index("ix_due_owner_due_at", "due_owner", ["due_at"])
    op.create_table(
        "applied_entity",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("concern", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("fields", JSONB, nullable=False),
        sa.Column("acknowledged", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", name="pk_applied_entity"),
    )
    op.create_index("ix_applied_entity_owner", "applied_entity", ["concern", "owner_id"])
    for table in ("due_owner", "applied_entity"):
        grant(op, "kong_sync", table, api="SELECT, INSERT, UPDATE, DELETE")
        tenant_policy(op, table)
    # what gives a changed subscription its keys and quotas, and a changed API its versions
    op.create_index("ix_api_key_copy_subscription_id", "api_key_copy", ["subscription_id"])
    op.create_index("ix_api_version_copy_api_id", "api_version_copy", ["api_id"])
    op.create_index("ix_api_copy_provider_id", "api_copy", ["provider_id"])
