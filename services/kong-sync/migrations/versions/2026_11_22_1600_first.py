"""Copies of what other services decided, what we told of the gateway, and the last pass."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from common.migrations import common_tables_v1, grant, tenant_policy

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
COPIES = ("api_copy", "api_version_copy", "subscription_copy", "api_key_copy", "quota_copy")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_catalog_copies()
    _create_subscription_copies()
    _create_own()
    _protect()
    common_tables_v1(op, "kong_sync")


def _create_catalog_copies() -> None:
    op.create_table(
        "api_copy",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("provider_id", sa.Uuid, nullable=False),
        sa.Column("provider_slug", sa.Text, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("base_url", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("latest_version", sa.Text),
        sa.Column("cors_origins", ARRAY(sa.Text), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_copy"),
    )
    op.create_table(
        "api_version_copy",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("is_latest", sa.Boolean, nullable=False),
        sa.Column("base_url", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_api_version_copy"),
    )


def _create_subscription_copies() -> None:
    op.create_table(
        "subscription_copy",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("provider_id", sa.Uuid, nullable=False),
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("plan_version_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("canceled_at", INSTANT),
        sa.Column("limits_override", JSONB(none_as_null=True)),
        sa.Column("phases", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscription_copy"),
    )
    op.create_table(
        "api_key_copy",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_key_copy"),
    )
    op.create_table(
        "quota_copy",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "period", name="pk_quota_copy"),
    )


def _create_own() -> None:
    op.create_table(
        "gateway_progress",
        sa.Column("concern", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("proxy_url", sa.Text),
        sa.Column("wished_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("concern", "id", name="pk_gateway_progress"),
    )
    op.create_table(
        "reconcile_pass",
        sa.Column("only", sa.Boolean, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=False),
        sa.Column("changes", sa.Integer, nullable=False),
        sa.Column("withheld", sa.Integer, nullable=False),
        sa.Column("failures", JSONB, nullable=False),
        sa.Column("canary_seen", sa.Boolean),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("only", name="pk_reconcile_pass"),
        sa.CheckConstraint('"only"', name="ck_reconcile_pass_one_row"),
    )


def _protect() -> None:
    for table in COPIES:
        grant(op, "kong_sync", table, api="SELECT")
        tenant_policy(op, table)
    grant(op, "kong_sync", "gateway_progress", api="SELECT, INSERT, UPDATE")
    tenant_policy(
        op, "gateway_progress", provider="organisation_id", public_where="concern = 'api' AND state = 'live'"
    )
    grant(op, "kong_sync", "reconcile_pass", api="SELECT, INSERT, UPDATE")
    tenant_policy(op, "reconcile_pass")
