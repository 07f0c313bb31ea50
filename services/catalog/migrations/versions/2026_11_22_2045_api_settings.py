"""How the gateway treats calls to an API."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE api ADD COLUMN settings jsonb NOT NULL DEFAULT '{}'")
