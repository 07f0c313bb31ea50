"""A Merkle root for each hour of a subscription under a plan version."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0005c"
down_revision = "0005b"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "usage_root",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("plan_version_id", sa.Uuid, nullable=False),
        sa.Column("hour_start", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("calls", "billable_calls", "units")),
        sa.Column("consumer_org", sa.Uuid, nullable=False),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint(
            "subscription_id", "plan_version_id", "hour_start", "version", name="pk_usage_root"
        ),
    )
    grant(op, "metering", "usage_root", api="SELECT")
    op.execute("REVOKE UPDATE, DELETE ON usage_root FROM metering_worker")  # what was sealed stays
    tenant_policy(op, "usage_root", consumer="consumer_org", provider="provider_org")
