"""Alert rules, their crossings and who changed them; who owns an API, and what a subscription's month costs so far."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from common.migrations import grant, tenant_policy

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_rules()
    _create_crossings()
    _create_audit_trail()
    _create_copies()


def _create_rules() -> None:
    op.create_table(
        "alert_rule",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subscription_id", sa.Uuid),
        sa.Column("api_id", sa.Uuid),
        sa.Column("threshold", sa.Numeric, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("min_calls", sa.Integer, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("silenced_until", INSTANT),
        sa.Column("tested_at", INSTANT),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("deleted_at", INSTANT),
        sa.Column("due_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_alert_rule"),
        sa.CheckConstraint("(subscription_id IS NULL) <> (api_id IS NULL)", name="ck_alert_rule_subject"),
    )
    for column in ("organisation_id", "subscription_id", "api_id"):
        op.create_index(f"ix_alert_rule_{column}", "alert_rule", [column])
    due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_alert_rule_due", "alert_rule", ["due_at"], postgresql_where=due)
    grant(op, "metering", "alert_rule", api="SELECT, INSERT, UPDATE")
    tenant_policy(op, "alert_rule", consumer="organisation_id")


def _create_crossings() -> None:
    op.create_table(
        "alert_crossing",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("rule_id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("period_start", INSTANT, nullable=False),
        sa.Column("threshold", sa.Numeric, nullable=False),
        sa.Column("value", sa.Numeric, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("fired_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT),
        sa.Column("resolved_value", sa.Numeric),
        sa.Column("announced", sa.Boolean, nullable=False),
        sa.Column("silenced", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_crossing"),
        sa.ForeignKeyConstraint(["rule_id"], ["alert_rule.id"], name="fk_alert_crossing_rule_id"),
        sa.UniqueConstraint("rule_id", "period_start", "threshold", name="uq_alert_crossing_rule_id"),
    )
    op.create_index("ix_alert_crossing_fired_at", "alert_crossing", ["fired_at"])
    grant(op, "metering", "alert_crossing", api="SELECT")
    tenant_policy(op, "alert_crossing", consumer="organisation_id")


def _create_audit_trail() -> None:
    op.create_table(
        "alert_audit",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("rule_id", sa.Uuid, nullable=False),
        sa.Column("actor_user_id", sa.Uuid, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("before", JSONB, nullable=False),
        sa.Column("after", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_audit"),
    )
    op.create_index("ix_alert_audit_organisation_id", "alert_audit", ["organisation_id", "id"])
    grant(op, "metering", "alert_audit", api="SELECT, INSERT")
    op.execute("REVOKE UPDATE, DELETE ON alert_audit FROM metering_worker")
    tenant_policy(op, "alert_audit", consumer="organisation_id")


def _create_copies() -> None:
    op.create_table(
        "api",
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("provider_org", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("api_id", name="pk_api"),
    )
    grant(op, "metering", "api", api="SELECT")
    tenant_policy(op, "api", provider="provider_org")
    op.create_table(
        "subscription_spend",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "month", name="pk_subscription_spend"),
    )
    grant(op, "metering", "subscription_spend", api="")
