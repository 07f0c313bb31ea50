"""The epoch of the secrets that the gateway derives for an API's provider."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("api_copy", sa.Column("upstream_epoch", sa.Integer, nullable=False, server_default="1"))
