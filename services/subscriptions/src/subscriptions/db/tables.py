"""The tables of subscriptions. What protects their rows stands in the migrations."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from common.db import make_metadata
from common.tables import add_common_tables

metadata = make_metadata()
add_common_tables(metadata)
_INSTANT = DateTime(timezone=True)

# Copies of other services' state. No foreign keys among them: topics are not ordered among themselves.
api = Table(
    "api",
    metadata,
    Column("api_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("provider_slug", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("visibility", Text, nullable=False),
)

plan = Table(
    "plan",
    metadata,
    Column("plan_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("plan_version_id", Uuid, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("api_slug", Text, nullable=False),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("provider_slug", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("requires_approval", Boolean, nullable=False),
    Column("terms", JSONB, nullable=False),
)

api_version = Table(
    "api_version",
    metadata,
    Column("version_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Index("ix_api_version_api_id", "api_id"),
)

standing = Table(
    "standing",
    metadata,
    Column("organisation_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("standing", Text, nullable=False),
    Column("since", _INSTANT, nullable=False),
)

gateway_state = Table(
    "gateway_state",
    metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
)

quota = Table(
    "quota",
    metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("limit", BigInteger),
    Column("used", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("until", _INSTANT),
)

# The minute in which a key was last used.
key_use = Table(
    "key_use",
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("last_used_at", _INSTANT, nullable=False),
)

IS_LIVE = text("status IN ('pending_approval', 'active', 'paused', 'past_due')")

subscription = Table(
    "subscription",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("provider_slug", Text, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("api_slug", Text, nullable=False),
    Column("plan_id", Uuid, nullable=False),
    Column("plan_version_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("terms", JSONB, nullable=False),
    Column("limits_override", JSONB),
    Column("created_at", _INSTANT, nullable=False),
    Column("started_at", _INSTANT),
    Column("canceled_at", _INSTANT),
    CheckConstraint(
        "status IN ('pending_approval', 'active', 'paused', 'past_due', 'canceled', 'rejected')",
        name="status",
    ),
    UniqueConstraint("id", "organisation_id"),  # what the rows below it refer to
    Index("uq_subscription_live", "organisation_id", "api_id", unique=True, postgresql_where=IS_LIVE),
    Index("ix_subscription_organisation_id", "organisation_id", "id"),
    Index("ix_subscription_provider_organisation_id", "provider_organisation_id", "id"),
)


def _of_subscription() -> ForeignKeyConstraint:
    """A row belongs to the organisation that its subscription belongs to; the database refuses any other."""
    return ForeignKeyConstraint(
        ["subscription_id", "organisation_id"], ["subscription.id", "subscription.organisation_id"]
    )


phase = Table(
    "phase",
    metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("organisation_id", Uuid, nullable=False),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("plan_version_id", Uuid, nullable=False),
    Column("since", _INSTANT, nullable=False),
    Column("until", _INSTANT),
    Column("terms", JSONB, nullable=False),
    _of_subscription(),
    CheckConstraint("until IS NULL OR until >= since", name="order"),
)

# There is no column for a key in the clear, and none for anything that it could be computed from.
api_key = Table(
    "api_key",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("subscription_id", Uuid, nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("sha256", Text, nullable=False, unique=True),
    Column("mode", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("rate_limits", JSONB(none_as_null=True)),
    Column("share_id", Uuid),
    Column("created_at", _INSTANT, nullable=False),
    Column("expires_at", _INSTANT),
    Column("revoked_at", _INSTANT),
    Column("replaced_by", Uuid),
    _of_subscription(),
    CheckConstraint("mode IN ('live', 'test')", name="mode"),
    CheckConstraint("status IN ('active', 'expiring', 'expired', 'revoked')", name="status"),
    CheckConstraint("length(prefix) = 12 AND sha256 ~ '^[0-9a-f]{64}$'", name="hash_only"),
    Index("ix_api_key_organisation_id", "organisation_id", "id"),
    Index("ix_api_key_subscription_id", "subscription_id", "id"),
    Index(
        "ix_api_key_expires_at",
        "expires_at",
        postgresql_where=text("status IN ('active', 'expiring') AND expires_at IS NOT NULL"),
    ),
)
