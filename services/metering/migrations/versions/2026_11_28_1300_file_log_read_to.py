"""Up to when each file-log was read to its end, and since when a cut-off knows it."""

import sqlalchemy as sa
from alembic import op

revision = "0021_file_log_read_to"
down_revision = "0020_keys_and_statistics"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("file_position", sa.Column("read_to", INSTANT))
    op.add_column("cutoff", sa.Column("files_read_at", INSTANT))
