"""The tables of the catalogue. What protects their rows stands in the migrations."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

from common.db import make_metadata
from common.tables import add_common_tables

metadata = make_metadata()
add_common_tables(metadata)
_INSTANT = DateTime(timezone=True)

category = Table(
    "category",
    metadata,
    Column("slug", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("position", SmallInteger, nullable=False),
)

# A copy of accounts' organisations. Version 0: known from a caller's token only, no event has come yet.
organisation = Table(
    "organisation",
    metadata,
    Column("organisation_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("slug", Text, nullable=False, index=True),
    Column("name", Text),
    Column("status", Text, nullable=False),
)

api = Table(
    "api",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("provider_slug", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("long_description", Text, nullable=False),
    Column("website", Text),
    Column("logo_url", Text),
    Column("category", Text, ForeignKey("category.slug"), nullable=False),
    Column("tags", ARRAY(Text), nullable=False),
    Column("status", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("base_url", Text, nullable=False),
    Column("cors_origins", ARRAY(Text), nullable=False),
    Column("latest_version", Text),
    Column("featured", Boolean, nullable=False),
    Column("lowest_fee", BigInteger),
    Column("total_calls", BigInteger, nullable=False),  # those of api_statistics, to order by
    Column("review_note", Text),
    Column("created_at", _INSTANT, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
    Column("published_at", _INSTANT),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'")),
    Column("upstream_epoch", Integer, nullable=False, server_default=text("1")),
    Column("search", TSVECTOR, nullable=False),  # kept by a trigger
    UniqueConstraint("provider_organisation_id", "slug"),
    UniqueConstraint("id", "provider_organisation_id"),  # what the rows below it refer to
    CheckConstraint(
        "status IN ('draft','pending_review','rejected','published','deprecated','suspended','retired')",
        name="status",
    ),
    CheckConstraint("visibility IN ('public','unlisted','private')", name="visibility"),
    Index("ix_api_provider_slug", "provider_slug", "slug"),
    Index("ix_api_listed", "category", postgresql_where=text("status = 'published'")),
    Index("ix_api_search", "search", postgresql_using="gin"),
)


def _of_api() -> ForeignKeyConstraint:
    """A row belongs to the organisation that its API belongs to; the database refuses any other."""
    return ForeignKeyConstraint(
        ["api_id", "provider_organisation_id"],
        ["api.id", "api.provider_organisation_id"],
        ondelete="CASCADE",
    )


api_version = Table(
    "api_version",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("is_latest", Boolean, nullable=False),
    Column("base_url", Text),
    Column("changelog", Text, nullable=False),
    Column("operations", Integer, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("deprecated_at", _INSTANT),
    Column("sunset_at", _INSTANT),
    _of_api(),
    UniqueConstraint("api_id", "name"),
    UniqueConstraint("id", "provider_organisation_id"),
    CheckConstraint("state IN ('active','deprecated','sunset')", name="state"),
    Index("uq_api_version_latest", "api_id", unique=True, postgresql_where=text("is_latest")),
)


def _of_version() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["version_id", "provider_organisation_id"],
        ["api_version.id", "api_version.provider_organisation_id"],
        ondelete="CASCADE",
    )


openapi_document = Table(
    "openapi_document",
    metadata,
    Column("version_id", Uuid, primary_key=True),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("content", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("openapi", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("warnings", JSONB, nullable=False),
    Column("uploaded_at", _INSTANT, nullable=False),
    _of_version(),
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version_id", Uuid, nullable=False),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    Column("method", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("operation_id", Text),
    Column("summary", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("tags", ARRAY(Text), nullable=False),
    Column("deprecated", Boolean, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("request_types", ARRAY(Text), nullable=False),
    Column("responses", ARRAY(Text), nullable=False),
    Column("scopes", ARRAY(Text)),
    Column("weight", Integer, nullable=False),
    _of_version(),
    UniqueConstraint("version_id", "path", "method"),
    CheckConstraint("weight >= 0", name="weight"),
)

plan = Table(
    "plan",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("plan_version_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("requires_approval", Boolean, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    _of_api(),
    UniqueConstraint("api_id", "name"),
    UniqueConstraint("id", "provider_organisation_id"),
    CheckConstraint("status IN ('active','archived')", name="status"),
)

# Never changed: what was sold under an id stays what it was. A trigger refuses updates.
plan_version = Table(
    "plan_version",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("plan_id", Uuid, nullable=False),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False),
    Column("terms", JSONB, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    ForeignKeyConstraint(
        ["plan_id", "provider_organisation_id"],
        ["plan.id", "plan.provider_organisation_id"],
        ondelete="CASCADE",
    ),
    UniqueConstraint("plan_id", "number"),
)

# A copy of what kong-sync reports. No foreign key: topics are not ordered among themselves.
gateway_state = Table(
    "gateway_state",
    metadata,
    Column("api_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("proxy_url", Text),
)

# A copy of what metering measures, of the last `days` days.
api_statistics = Table(
    "api_statistics",
    metadata,
    Column("api_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("days", Integer, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("subscribers", Integer, nullable=False),
    Column("latency_ms_p50", Integer),
    Column("latency_ms_p95", Integer),
    Column("uptime_percent", Numeric),
    Column("measured_at", _INSTANT, nullable=False),
)
