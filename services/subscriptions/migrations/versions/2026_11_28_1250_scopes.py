"""Which scopes the versions of an API know: a copy of the catalogue's word."""

from alembic import op

from common.migrations import grant, tenant_policy

revision = "0020_scopes"
down_revision = "0020_key_use"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("""
        CREATE TABLE api_version (
            version_id uuid NOT NULL,
            version integer NOT NULL,
            api_id uuid NOT NULL,
            state text NOT NULL,
            scopes text[] NOT NULL,
            CONSTRAINT pk_api_version PRIMARY KEY (version_id)
        )""")
    op.execute("CREATE INDEX ix_api_version_api_id ON api_version (api_id)")
    subscribed = "EXISTS (SELECT FROM subscription s WHERE s.api_id = api_version.api_id)"
    tenant_policy(op, "api_version", public_where=subscribed)
    grant(op, "subscriptions", "api_version", api="SELECT")
