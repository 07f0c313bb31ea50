"""All tables of kong-sync: copies of what others decided, and our own words about the gateway."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)  # fmt: skip
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from common.db import make_metadata
from common.tables import add_common_tables

metadata = make_metadata()
_INSTANT = DateTime(timezone=True)
_ID = Uuid(as_uuid=False)

api_copy = Table(
    "api_copy", metadata,
    Column("id", _ID, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("provider_id", _ID, nullable=False),
    Column("provider_slug", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("base_url", Text),
    Column("status", Text, nullable=False),
    Column("latest_version", Text),
    Column("cors_origins", ARRAY(Text), nullable=False),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'")),
    Column("upstream_epoch", Integer, nullable=False, server_default=text("1")),
    Index("ix_api_copy_provider_id", "provider_id"),
)  # fmt: skip

api_version_copy = Table(
    "api_version_copy", metadata,
    Column("id", _ID, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("api_id", _ID, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("is_latest", Boolean, nullable=False),
    Column("base_url", Text),
    Column("deprecated_at", _INSTANT),
    Column("sunset_at", _INSTANT),
    Column("endpoints", JSONB, nullable=False, server_default=text("'[]'")),
    Index("ix_api_version_copy_api_id", "api_id"),
)  # fmt: skip

subscription_copy = Table(
    "subscription_copy", metadata,
    Column("id", _ID, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("organisation_id", _ID, nullable=False),
    Column("provider_id", _ID, nullable=False),
    Column("api_id", _ID, nullable=False),
    Column("plan_version_id", _ID, nullable=False),
    Column("status", Text, nullable=False),
    Column("canceled_at", _INSTANT),
    Column("limits_override", JSONB(none_as_null=True)),
    Column("phases", JSONB, nullable=False),
)  # fmt: skip

api_key_copy = Table(
    "api_key_copy", metadata,
    Column("id", _ID, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("subscription_id", _ID, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("expires_at", _INSTANT),
    Column("changed_at", _INSTANT, nullable=False),
    Column("limits", JSONB(none_as_null=True)),
    Column("share_id", _ID),
    Column("scopes", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Index("ix_api_key_copy_subscription_id", "subscription_id"),
)  # fmt: skip

quota_copy = Table(
    "quota_copy", metadata,
    Column("subscription_id", _ID, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("until", _INSTANT, nullable=False),
)  # fmt: skip

gateway_progress = Table(
    "gateway_progress", metadata,
    Column("concern", Text, primary_key=True),
    Column("id", _ID, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("organisation_id", _ID, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("fingerprint", Text, nullable=False),
    Column("proxy_url", Text),
    Column("wished_at", _INSTANT, nullable=False),
    Column("changed_at", _INSTANT, nullable=False),
)  # fmt: skip

reconcile_pass = Table(
    "reconcile_pass", metadata,
    Column("only", Boolean, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("finished_at", _INSTANT, nullable=False),
    Column("changes", Integer, nullable=False),
    Column("withheld", Integer, nullable=False),
    Column("failures", JSONB, nullable=False),
    Column("canary_seen", Boolean),
    Column("error", Text),
    CheckConstraint('"only"', name="one_row"),
)  # fmt: skip

reconcile_plan = Table(
    "reconcile_plan", metadata,
    Column("id", Uuid, primary_key=True),
    Column("trigger", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("finished_at", _INSTANT, nullable=False),
    Column("passes", Integer, nullable=False),
    Column("change_count", Integer, nullable=False),
    Column("withheld_count", Integer, nullable=False),
    Column("failures", JSONB, nullable=False),
    Column("canary_seen", Boolean),
    Column("error", Text),
    Column("changes", JSONB, nullable=False),
    Column("withheld", JSONB, nullable=False),
)  # fmt: skip

due_owner = Table(
    "due_owner", metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("concern", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("due_at", _INSTANT),
    Column("noted_at", _INSTANT, nullable=False, server_default=text("clock_timestamp()")),
    Column("stops", Boolean, nullable=False, server_default=text("false")),
    Index("ix_due_owner_owner", "concern", "id"),
    Index("ix_due_owner_due_at", "due_at"),
    Index("ix_due_owner_stops", "id", postgresql_where=text("stops")),
)  # fmt: skip

blocked_address = Table(
    "blocked_address", metadata,
    Column("address", Text, primary_key=True),
    Column("reason", Text),
    Column("blocked_at", _INSTANT, nullable=False),
)  # fmt: skip

blocked_audit = Table(
    "blocked_audit", metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", _INSTANT, nullable=False),
    Column("actor_user_id", Uuid, nullable=False),
    Column("action", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("reason", Text),
)  # fmt: skip

applied_entity = Table(
    "applied_entity", metadata,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("concern", Text, nullable=False),
    Column("owner_id", Text, nullable=False),
    Column("fields", JSONB, nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Index("ix_applied_entity_owner", "concern", "owner_id"),
)  # fmt: skip

add_common_tables(metadata)
