"""The tables. Rows never leave `db/`."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from common.db import make_metadata
from common.tables import add_common_tables
from metering.db.pending_tables import add_pending_tables
from metering.db.proof_tables import add_proof_tables
from metering.db.provider_tables import add_provider_tables
from metering.db.shown_tables import add_shown_tables
from metering.domain.rollup import TOTALS

metadata = make_metadata()
add_common_tables(metadata)
add_pending_tables(metadata)
add_proof_tables(metadata)
add_provider_tables(metadata)
add_shown_tables(metadata)

_INSTANT = DateTime(timezone=True)
_PARTIES = ("consumer_org", "provider_org")
_DIMENSIONS = (
    "api_id",
    "subscription_id",
    "plan_version_id",
    "key_id",
    "endpoint_id",
    "version_id",
    "is_test",
)

api_requests_log = Table(
    "api_requests_log", metadata,
    Column("started_at", _INSTANT, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("subscription_id", Uuid),
    Column("plan_version_id", Uuid),
    Column("key_id", Uuid),
    Column("is_test", Boolean, nullable=False),
    Column("consumer_org", Uuid),
    Column("provider_org", Uuid, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("version_id", Uuid),
    Column("endpoint_id", Uuid),
    Column("method", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("upstream_status", SmallInteger),
    Column("source", Text, nullable=False),
    Column("billable", Boolean, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("latency_ms", Integer, nullable=False),
    Column("upstream_latency_ms", Integer),
    Column("gateway_latency_ms", Integer, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("country", Text),  # ISO 3166-1, two letters
    Column("client_net", Text),  # /24 or /48, until the privacy setting's time is over
    # Time first: new rows go to the index's end. By id first they would go everywhere, which costs a third.
    PrimaryKeyConstraint("started_at", "request_id", name="pk_api_requests_log"),
    Index("ix_api_requests_log_subscription_id", "subscription_id", "started_at"),
    Index(
        "ix_api_requests_log_errors", "subscription_id", "started_at", postgresql_where=text("status >= 400")
    ),
    postgresql_partition_by="RANGE (started_at)",
)  # fmt: skip


# A rollup has no key of its own beside its bucket: every index of these tables is paid for by each fold.
def _rollup(name: str, time: Column[object]) -> Table:
    return Table(
        name, metadata,
        time,
        *(Column(d, Boolean, nullable=False) if d == "is_test" else Column(d, Uuid, nullable=d != "api_id")
          for d in _DIMENSIONS),
        Column("consumer_org", Uuid),
        Column("provider_org", Uuid, nullable=False),
        *(Column(total, BigInteger, nullable=False) for total in TOTALS),
        Column("latency_histogram", Numeric, nullable=False, server_default="0"),
        UniqueConstraint(time.name, *_DIMENSIONS, name=f"uq_{name}_bucket", postgresql_nulls_not_distinct=True),
        *(Index(f"ix_{name}_{party}", party, time.name) for party in (*_PARTIES, "subscription_id")),
    )  # fmt: skip


usage_records_hourly = _rollup("usage_records_hourly", Column("hour_start", _INSTANT, nullable=False))
usage_records_daily = _rollup("usage_records_daily", Column("day", Date, nullable=False))


def _breakdown(name: str, time: Column[object], *more: str) -> Table:
    return Table(
        name, metadata,
        time,
        Column("api_id", Uuid, nullable=False),
        Column("subscription_id", Uuid),
        *(Column(column, Text, nullable=False) for column in more),
        Column("is_test", Boolean, nullable=False),
        Column("consumer_org", Uuid),
        Column("provider_org", Uuid, nullable=False),
        *(Column(total, BigInteger, nullable=False) for total in TOTALS),
        Column("latency_histogram", Numeric, nullable=False, server_default="0"),
        UniqueConstraint(
            time.name, "api_id", "subscription_id", *more, "is_test", name=f"uq_{name}_bucket",
            postgresql_nulls_not_distinct=True,
        ),
        *(Index(f"ix_{name}_{party}", party, time.name) for party in _PARTIES),
    )  # fmt: skip


# The hours of a whole subscription: few rows where a time series has no use for endpoints and keys.
usage_subscription_hourly = _breakdown(
    "usage_subscription_hourly", Column("hour_start", _INSTANT, nullable=False)
)
# Calls whose country is known.
usage_country_daily = _breakdown("usage_country_daily", Column("day", Date, nullable=False), "country")
usage_errors_daily = Table(
    "usage_errors_daily", metadata,
    Column("day", Date, nullable=False),
    Column("api_id", Uuid, nullable=False),
    *(Column(column, Uuid) for column in ("subscription_id", "key_id", "endpoint_id", "version_id")),
    Column("is_test", Boolean, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("consumer_org", Uuid),
    Column("provider_org", Uuid, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("last_at", _INSTANT, nullable=False),
    Column("examples", ARRAY(Text), nullable=False),  # request ids, the newest batch's first
    UniqueConstraint(
        "day", "api_id", "subscription_id", "key_id", "endpoint_id", "version_id", "is_test", "status", "source",
        name="uq_usage_errors_daily_bucket", postgresql_nulls_not_distinct=True,
    ),
    *(Index(f"ix_usage_errors_daily_{party}", party, "day") for party in _PARTIES),
)  # fmt: skip

# What billing reads: live keys only. `version` rises with every fold that touches the row; the row is due for
# publication while it is above `published_version`.
subscription_day = Table(
    "subscription_day", metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("plan_version_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("consumer_org", Uuid, nullable=False),
    Column("provider_org", Uuid, nullable=False),
    Column("api_id", Uuid, nullable=False),
    *(Column(total, BigInteger, nullable=False) for total in TOTALS),
    Column("version", Integer, nullable=False),
    Column("published_version", Integer, nullable=False, server_default="0"),
    Index("ix_subscription_day_due", "day", postgresql_where=text("version > published_version")),
)  # fmt: skip

month_adjustment = Table(
    "month_adjustment", metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("plan_version_id", Uuid, primary_key=True),
    Column("month", Date, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("published_version", Integer, nullable=False, server_default="0"),
    Index("ix_month_adjustment_due", "month", postgresql_where=text("version > published_version")),
)  # fmt: skip

quota_usage = Table(
    "quota_usage", metadata,
    Column("consumer_org", Uuid, primary_key=True),
    Column("api_id", Uuid, primary_key=True),
    Column("month", Date, primary_key=True),
    Column("provider_org", Uuid, nullable=False),
    Column("units", BigInteger, nullable=False),
)  # fmt: skip

quota_state = Table(
    "quota_state", metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("month", Date, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("quota", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
)  # fmt: skip

subscription = Table(
    "subscription", metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("consumer_org", Uuid, nullable=False),
    Column("provider_org", Uuid, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("plan_version_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("quota", BigInteger),
    Index("ix_subscription_counter", "consumer_org", "api_id"),
)  # fmt: skip

api_version = Table(
    "api_version", metadata,
    Column("version_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
)  # fmt: skip

# An endpoint that left its version stays, retired, so that old usage keeps its name.
endpoint = Table(
    "endpoint", metadata,
    Column("endpoint_id", Uuid, primary_key=True),
    Column("version_id", Uuid, nullable=False, index=True),
    Column("method", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("retired", Boolean, nullable=False),
)  # fmt: skip

cutoff = Table(
    "cutoff", metadata,
    Column("cutoff_id", Uuid, primary_key=True),
    Column("organisation_id", Uuid),
    Column("until", _INSTANT, nullable=False),
    Column("requested_at", _INSTANT, nullable=False),
    Column("answered_at", _INSTANT),
    Column("files_read_at", _INSTANT),
    Index("ix_cutoff_waiting", "until", postgresql_where=text("answered_at IS NULL")),
)  # fmt: skip

# The answers as given: asked again, the same bytes go out again.
period_part = Table(
    "period_part", metadata,
    Column("cutoff_id", Uuid, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("answer", JSONB, nullable=False),
)  # fmt: skip

closed_month = Table(
    "closed_month", metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("month", Date, nullable=False),
    Column("organisation_id", Uuid),  # none: everybody's
    Column("closed_at", _INSTANT, nullable=False),
    UniqueConstraint("month", "organisation_id", name="uq_closed_month_month", postgresql_nulls_not_distinct=True),
)  # fmt: skip

quarantined_request = Table(
    "quarantined_request", metadata,
    Column("started_at_ms", BigInteger, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("received_at", _INSTANT, nullable=False),
    Column("reason", Text, nullable=False),
    Column("entry", JSONB, nullable=False),
)  # fmt: skip

file_position = Table(
    "file_position", metadata,
    Column("path", Text, primary_key=True),
    Column("inode", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("head_digest", Text, nullable=False),
    Column("head_bytes", Integer, nullable=False),
    Column("cluster_id", Text, nullable=False, server_default=""),
    Column("updated_at", _INSTANT, nullable=False),
    Column("read_to", _INSTANT),  # then there was nothing more to read
)  # fmt: skip

# One row: how far back raw rows and clients' networks are kept.
request_log_reach = Table(
    "request_log_reach", metadata,
    Column("one_row", Boolean, CheckConstraint("one_row", name="one_row"), primary_key=True),
    Column("rows_from", _INSTANT, nullable=False),
    Column("nets_from", _INSTANT, nullable=False),
)  # fmt: skip

# What each night's reconciliation found; at most a thousand differences are named.
reconciliation_run = Table(
    "reconciliation_run", metadata,
    Column("day", Date, primary_key=True),
    Column("first", Date, nullable=False),
    Column("last", Date, nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("finished_at", _INSTANT, nullable=False),
    Column("compared", JSONB, nullable=False),
    Column("differing", BigInteger, nullable=False),
    Column("found", JSONB, nullable=False),
)  # fmt: skip

# `due_at`: from then on the worker looks at the rule; none while only new data could change its verdict.
alert_rule = Table(
    "alert_rule", metadata,
    Column("id", Uuid, primary_key=True),
    Column("organisation_id", Uuid, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subscription_id", Uuid, index=True),
    Column("api_id", Uuid, index=True),
    Column("threshold", Numeric, nullable=False),
    Column("period", Text, nullable=False),
    Column("min_calls", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("silenced_until", _INSTANT),
    Column("tested_at", _INSTANT),
    Column("created_at", _INSTANT, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
    Column("deleted_at", _INSTANT),
    Column("due_at", _INSTANT),
    CheckConstraint("(subscription_id IS NULL) <> (api_id IS NULL)", name="subject"),
    Index("ix_alert_rule_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)  # fmt: skip

# The unique constraint is what makes a rule fire once a period and threshold.
alert_crossing = Table(
    "alert_crossing", metadata,
    Column("id", Uuid, primary_key=True),
    Column("rule_id", Uuid, ForeignKey("alert_rule.id"), nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("period_start", _INSTANT, nullable=False),
    Column("threshold", Numeric, nullable=False),
    Column("value", Numeric, nullable=False),
    Column("unit", Text, nullable=False),
    Column("fired_at", _INSTANT, nullable=False, index=True),
    Column("resolved_at", _INSTANT),
    Column("resolved_value", Numeric),
    Column("announced", Boolean, nullable=False),
    Column("silenced", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("rule_id", "period_start", "threshold", name="uq_alert_crossing_rule_id"),
)  # fmt: skip

alert_audit = Table(
    "alert_audit", metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", _INSTANT, nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("rule_id", Uuid, nullable=False),
    Column("actor_user_id", Uuid, nullable=False),
    Column("action", Text, nullable=False),
    Column("before", JSONB, nullable=False),
    Column("after", JSONB, nullable=False),
    Index("ix_alert_audit_organisation_id", "organisation_id", "id"),
)  # fmt: skip

api = Table(
    "api", metadata,
    Column("api_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("provider_org", Uuid, nullable=False),
)  # fmt: skip

subscription_spend = Table(
    "subscription_spend", metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("month", Date, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
)  # fmt: skip
