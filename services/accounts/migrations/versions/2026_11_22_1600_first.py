"""People, organisations, memberships, access tokens and the audit trail."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from common.migrations import common_tables_v1, grant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)

# current_setting is '' on a reused connection, and ''::uuid would raise.
ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"
USER = "NULLIF(current_setting('app.user_id', true), '')::uuid"
ADMIN = "current_setting('app.platform_admin', true) = 'on'"
# Whoever holds a verified token may see the row of the identity in it, before it is known whose row that is.
IDENTITY = "(issuer = current_setting('app.issuer', true) AND subject = current_setting('app.subject', true))"
ADDRESS = "(email_verified AND lower(email) = NULLIF(current_setting('app.email', true), ''))"
PRESENTED = "sha256 = NULLIF(current_setting('app.access_token_sha256', true), '')"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_people()
    _create_access_tokens()
    _create_audit_trail()
    _protect()
    common_tables_v1(op, "accounts")


def _create_people() -> None:
    op.create_table(
        "platform_user",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("email_verified", sa.Boolean, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_platform_user"),
        sa.UniqueConstraint("issuer", "subject", name="uq_platform_user_issuer_subject"),
    )
    op.create_index(
        "ix_platform_user_verified_email",
        "platform_user",
        [sa.text("lower(email)")],
        postgresql_where=sa.text("email_verified"),
    )
    op.create_table(
        "organisation",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("website", sa.Text),
        sa.Column("description", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organisation"),
        sa.UniqueConstraint("slug", name="uq_organisation_slug"),
        sa.CheckConstraint("slug ~ '^[a-z0-9-]{2,50}$'", name="ck_organisation_slug"),
        sa.CheckConstraint("status IN ('active', 'suspended')", name="ck_organisation_status"),
    )
    op.create_table(
        "membership",
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "user_id", name="pk_membership"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_membership_organisation_id"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["platform_user.id"], name="fk_membership_user_id"),
        sa.CheckConstraint(
            "role IN ('owner', 'admin', 'developer', 'billing', 'viewer')", name="ck_membership_role"
        ),
    )
    op.create_index("ix_membership_user_id", "membership", ["user_id"])


def _create_access_tokens() -> None:
    op.create_table(
        "access_token",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("last_used_at", INSTANT),
        sa.Column("revoked_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_access_token"),
        sa.UniqueConstraint("sha256", name="uq_access_token_sha256"),
        sa.ForeignKeyConstraint(["user_id"], ["platform_user.id"], name="fk_access_token_user_id"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_access_token_organisation_id"
        ),
    )
    op.create_index("ix_access_token_user_id", "access_token", ["user_id", "id"])


def _create_audit_trail() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor_user_id", sa.Uuid, nullable=False),
        sa.Column("network", sa.Text),
        sa.Column("organisation_id", sa.Uuid),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target_id", sa.Uuid, nullable=False),
        sa.Column("before", JSONB, nullable=False),
        sa.Column("after", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entry"),
    )
    op.create_index("ix_audit_entry_organisation_id", "audit_entry", ["organisation_id", "id"])
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'audit entries are append-only' USING ERRCODE = 'restrict_violation';
        END $$""")
    op.execute("""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""")


def _protect() -> None:
    """Row-level security: what each transaction of the API role may see and write, by what it has proved."""
    own_seat = (
        f"EXISTS (SELECT FROM membership m WHERE m.organisation_id = organisation.id AND m.user_id = {USER})"
    )
    colleague = (
        "EXISTS (SELECT FROM membership m WHERE m.user_id = platform_user.id"
        f" AND m.organisation_id = {ORGANISATION})"
    )
    own_rows = f"organisation_id = {ORGANISATION} OR {ADMIN}"
    myself = f"id = {USER} OR {IDENTITY}"
    policies = {
        ("platform_user", "SELECT"): f"{myself} OR {ADDRESS} OR {colleague} OR {ADMIN}",
        ("platform_user", "INSERT"): IDENTITY,
        ("platform_user", "UPDATE"): IDENTITY,
        ("organisation", "SELECT"): f"id = {ORGANISATION} OR {own_seat} OR {ADMIN}",
        ("organisation", "INSERT"): f"id = {ORGANISATION}",
        ("organisation", "UPDATE"): f"id = {ORGANISATION} OR {ADMIN}",
        ("membership", "SELECT"): f"user_id = {USER} OR {own_rows}",
        ("membership", "INSERT"): f"organisation_id = {ORGANISATION}",
        ("membership", "UPDATE"): f"organisation_id = {ORGANISATION}",
        ("membership", "DELETE"): f"organisation_id = {ORGANISATION}",
        ("access_token", "SELECT"): f"user_id = {USER} OR {PRESENTED}",
        ("access_token", "INSERT"): f"user_id = {USER}",
        ("access_token", "UPDATE"): f"user_id = {USER} OR {PRESENTED}",
        ("audit_entry", "SELECT"): own_rows,
        ("audit_entry", "INSERT"): own_rows,
    }
    grants: dict[str, list[str]] = {}
    for (table, command), rule in policies.items():
        grants.setdefault(table, []).append(command)
        clause = f"WITH CHECK ({rule})" if command == "INSERT" else f"USING ({rule})"
        op.execute(f"CREATE POLICY {command.lower()}_own ON {table} FOR {command} {clause}")
    for table, commands in grants.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        grant(op, "accounts", table, api=", ".join(commands))
    op.execute("REVOKE UPDATE, DELETE ON audit_entry FROM accounts_worker")


def downgrade() -> None:
    raise NotImplementedError("The first migration has nothing before it: drop the database instead.")
