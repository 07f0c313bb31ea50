"""Which scopes an endpoint asks of a restricted key."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0020_scopes"
down_revision = "0020_api_statistics"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("endpoint", sa.Column("scopes", ARRAY(sa.Text)))
