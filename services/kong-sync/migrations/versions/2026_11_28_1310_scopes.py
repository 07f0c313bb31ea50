"""Which scopes endpoints ask for, and which a key holds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0020_scopes"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    endpoints = sa.Column("endpoints", JSONB, nullable=False, server_default=sa.text("'[]'"))
    op.add_column("api_version_copy", endpoints)
    scopes = sa.Column("scopes", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'"))
    op.add_column("api_key_copy", scopes)
