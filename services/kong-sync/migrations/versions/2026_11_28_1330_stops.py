"""Which notes tell that somebody may not call any more: they are looked for while others are served."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0020_scopes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "due_owner", sa.Column("stops", sa.Boolean, nullable=False, server_default=sa.text("false"))
    )
    op.create_index("ix_due_owner_stops", "due_owner", ["id"], postgresql_where=sa.text("stops"))
