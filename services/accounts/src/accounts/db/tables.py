"""The tables of accounts. What protects their rows stands in the migrations."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from common.db import make_metadata
from common.tables import add_common_tables

metadata = make_metadata()
add_common_tables(metadata)
_INSTANT = DateTime(timezone=True)

platform_user = Table(
    "platform_user",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("email", Text),
    Column("email_verified", Boolean, nullable=False),
    Column("name", Text),
    Column("created_at", _INSTANT, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
    UniqueConstraint("issuer", "subject"),
    Index("ix_platform_user_verified_email", text("lower(email)"), postgresql_where=text("email_verified")),
)

organisation = Table(
    "organisation",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("website", Text),
    Column("description", Text),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
    CheckConstraint("slug ~ '^[a-z0-9-]{2,50}$'", name="slug"),
    CheckConstraint("status IN ('active', 'suspended')", name="status"),
)

membership = Table(
    "membership",
    metadata,
    Column("organisation_id", Uuid, ForeignKey("organisation.id"), primary_key=True),
    Column("user_id", Uuid, ForeignKey("platform_user.id"), primary_key=True, index=True),
    Column("role", Text, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    CheckConstraint("role IN ('owner', 'admin', 'developer', 'billing', 'viewer')", name="role"),
)

access_token = Table(
    "access_token",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("platform_user.id"), nullable=False),
    Column("organisation_id", Uuid, ForeignKey("organisation.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("sha256", Text, nullable=False, unique=True),
    Column("created_at", _INSTANT, nullable=False),
    Column("expires_at", _INSTANT, nullable=False),
    Column("last_used_at", _INSTANT),
    Column("revoked_at", _INSTANT),
    Index("ix_access_token_user_id", "user_id", "id"),
)

# Without the address: that is looked up when the message is sent. `due_at`: when it is tried next; none once it ended.
notification = Table(
    "notification",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("organisation_id", Uuid, ForeignKey("organisation.id"), nullable=False),
    Column("user_id", Uuid, ForeignKey("platform_user.id"), nullable=False, index=True),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("due_at", _INSTANT),
    Column("ended_at", _INSTANT),
    CheckConstraint("status IN ('pending', 'sent', 'refused', 'expired', 'unwanted')", name="status"),
    Index("ix_notification_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

notification_preference = Table(
    "notification_preference",
    metadata,
    Column("organisation_id", Uuid, ForeignKey("organisation.id"), primary_key=True),
    Column("user_id", Uuid, ForeignKey("platform_user.id"), primary_key=True, index=True),
    Column("alerts", Boolean, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
)

audit_entry = Table(
    "audit_entry",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", _INSTANT, nullable=False),
    Column("actor_user_id", Uuid, nullable=False),
    Column("network", Text),
    Column("organisation_id", Uuid),
    Column("action", Text, nullable=False),
    Column("target_id", Uuid, nullable=False),
    Column("before", JSONB, nullable=False),
    Column("after", JSONB, nullable=False),
    Index("ix_audit_entry_organisation_id", "organisation_id", "id"),
)
