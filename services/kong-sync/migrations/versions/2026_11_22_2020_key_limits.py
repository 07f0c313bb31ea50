"""A key may have a share of its subscription's calls."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("api_key_copy", sa.Column("limits", JSONB))
    op.add_column("api_key_copy", sa.Column("share_id", sa.Uuid))
