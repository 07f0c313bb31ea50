"""The epoch of the secrets that an API's provider knows the gateway by."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE api ADD COLUMN upstream_epoch integer NOT NULL DEFAULT 1")
