"""When a version was deprecated and when it is switched off."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in ("deprecated_at", "sunset_at"):
        op.add_column("api_version_copy", sa.Column(name, sa.DateTime(timezone=True)))
