"""Messages to people, and who wants them."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "notification",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT),
        sa.Column("ended_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_notification"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_notification_organisation_id"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["platform_user.id"], name="fk_notification_user_id"),
        sa.CheckConstraint(
            "status IN ('pending', 'sent', 'refused', 'expired', 'unwanted')", name="ck_notification_status"
        ),
    )
    op.create_index(
        "ix_notification_due_at", "notification", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index("ix_notification_user_id", "notification", ["user_id"])
    grant(op, "accounts", "notification", api="")
    op.create_table(
        "notification_preference",
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("alerts", sa.Boolean, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "user_id", name="pk_notification_preference"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_notification_preference_organisation_id"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["platform_user.id"], name="fk_notification_preference_user_id"),
    )
    op.create_index("ix_notification_preference_user_id", "notification_preference", ["user_id"])
    grant(op, "accounts", "notification_preference", api="SELECT, INSERT, UPDATE")
    own = "user_id = NULLIF(current_setting('app.user_id', true), '')::uuid"
    op.execute("ALTER TABLE notification_preference ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own ON notification_preference USING ({own}) WITH CHECK ({own})")
