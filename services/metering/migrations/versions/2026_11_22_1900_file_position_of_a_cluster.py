"""A position in a log file belongs to the cluster that acknowledged what was read up to it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # A position from before this column is of no cluster: its file is read once more, and repeats are told.
    op.add_column("file_position", sa.Column("cluster_id", sa.Text, nullable=False, server_default=""))
