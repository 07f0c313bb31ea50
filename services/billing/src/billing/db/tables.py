"""Every table of billing. Constraints that alembic does not compare (exclusion, triggers) stand in the migrations."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE

from common.db import make_metadata
from common.tables import add_common_tables

metadata = make_metadata()
add_common_tables(metadata)
_INSTANT = DateTime(timezone=True)

# --- read copies of other services' facts: no foreign keys, because topics are not ordered among themselves ---------

subscription = Table(
    "subscription", metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("organisation_id", Uuid, nullable=False, index=True),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("provider_slug", Text, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("api_slug", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", _INSTANT),
    Column("canceled_at", _INSTANT),
    Column("phases", JSONB, nullable=False),  # [{plan_version_id, from, until}]; their terms are in sold_terms
)  # fmt: skip

sold_terms = Table(
    "sold_terms", metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("plan_version_id", Uuid, primary_key=True),
    Column("terms", JSONB, nullable=False),
    Column("recorded_at", _INSTANT, nullable=False),
)  # fmt: skip

metered_day = Table(
    "metered_day", metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("plan_version_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("billable_calls", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Index("ix_metered_day_organisation_id_day", "organisation_id", "day"),
)  # fmt: skip

# As last published; `due` while usage arrived since.
spend = Table(
    "spend", metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("month", Date, primary_key=True),
    Column("organisation_id", Uuid, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("due", Boolean, nullable=False),
    Index("ix_spend_due", "organisation_id", postgresql_where=text("due")),
)  # fmt: skip

period_part = Table(
    "period_part", metadata,
    Column("cutoff_id", Uuid, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("parts", Integer, nullable=False),
    Column("received_at", _INSTANT, nullable=False),
)  # fmt: skip

period_total = Table(
    "period_total", metadata,
    Column("cutoff_id", Uuid, primary_key=True),
    Column("subscription_id", Uuid, primary_key=True),
    Column("plan_version_id", Uuid, primary_key=True),
    Column("organisation_id", Uuid, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("month", Date, nullable=False),
    Column("until", _INSTANT, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("billable_calls", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Index("ix_period_total_organisation_id_month", "organisation_id", "month"),
)  # fmt: skip

usage_adjustment = Table(
    "usage_adjustment", metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column("plan_version_id", Uuid, primary_key=True),
    Column("month", Date, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("rated_version", BigInteger, nullable=False, server_default="0"),
    Column("organisation_id", Uuid, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("billable_calls", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Index("ix_usage_adjustment_unrated", "organisation_id", postgresql_where=text("rated_version < version")),
)  # fmt: skip

# --- what billing owns --------------------------------------------------------------------------------------------

billing_account = Table(
    "billing_account", metadata,
    Column("organisation_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False, server_default="0"),
    Column("name", Text),  # copy of accounts.organisation.v1
    Column("name_version", Integer, nullable=False, server_default="0"),
    Column("stripe_customer_id", Text, unique=True),
    Column("payment_method", JSONB),  # {id, brand, last4} of the default one; never a card number
    Column("connect_account_id", Text, unique=True),
    Column("charges_enabled", Boolean, nullable=False, server_default=text("false")),
    Column("payouts_enabled", Boolean, nullable=False, server_default=text("false")),
    Column("requirements", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("standing", Text, nullable=False, server_default="good"),
    Column("standing_since", _INSTANT),
    Column("standing_version", Integer, nullable=False, server_default="0"),
)  # fmt: skip

# Names and postal addresses of people stand here and nowhere else in billing, so that they can be erased.
billing_address = Table(
    "billing_address", metadata,
    Column("organisation_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("legal_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("line1", Text, nullable=False),
    Column("line2", Text),
    Column("postal_code", Text, nullable=False),
    Column("city", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("tax_id", Text),
    Column("updated_at", _INSTANT, nullable=False),
)  # fmt: skip

billing_switch = Table(
    "billing_switch", metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("enabled", Boolean, nullable=False),
    Column("since", _INSTANT),  # nothing before is ever billed; null: there is no such bound
)  # fmt: skip

invoice_run = Table(
    "invoice_run", metadata,
    Column("id", Uuid, primary_key=True),
    Column("organisation_id", Uuid),
    Column("until", _INSTANT, nullable=False),
    Column("status", Text, nullable=False),
    Column("requested_at", _INSTANT, nullable=False),
    Column("done_at", _INSTANT),
    UniqueConstraint("organisation_id", "until", postgresql_nulls_not_distinct=True),
    Index("ix_invoice_run_unfinished", "requested_at", postgresql_where=text("status <> 'done'")),
)  # fmt: skip

invoice_task = Table(
    "invoice_task", metadata,
    Column("run_id", Uuid, ForeignKey("invoice_run.id"), primary_key=True),
    Column("organisation_id", Uuid, primary_key=True),
    Column("status", Text, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
    Index("ix_invoice_task_pending", "run_id", postgresql_where=text("status = 'pending'")),
    Index("ix_invoice_task_organisation_id_status", "organisation_id", "status"),
)  # fmt: skip

# Usage, or a fee, that waits: for terms that are not known yet, or for the end of the month (volume).
unpriced = Table(
    "unpriced", metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("subscription_id", Uuid, primary_key=True),
    Column("plan_version_id", Uuid, primary_key=True),
    Column("organisation_id", Uuid, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", _INSTANT, nullable=False),
)  # fmt: skip

# A subscription whose calls are not all metered holds its organisation's invoice until an operator releases it.
invoice_hold = Table(
    "invoice_hold", metadata,
    Column("id", Uuid, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("subscription_id", Uuid, nullable=False),
    Column("counted", BigInteger, nullable=False),
    Column("metered", BigInteger, nullable=False),
    Column("missing", BigInteger, nullable=False),
    Column("since", _INSTANT, nullable=False),
    Column("released_at", _INSTANT),
    Column("released_by", Uuid),
    Column("note", Text),
    UniqueConstraint("run_id", "subscription_id", name="uq_invoice_hold_run_id"),
    Index("ix_invoice_hold_open", "organisation_id", postgresql_where=text("released_at IS NULL")),
)  # fmt: skip

number_series = Table(
    "number_series", metadata,
    Column("seller", Text, primary_key=True),
    Column("last_number", BigInteger, nullable=False),
)  # fmt: skip

invoice = Table(
    "invoice", metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("run_id", Uuid, ForeignKey("invoice_run.id"), nullable=False, index=True),
    Column("organisation_id", Uuid, nullable=False),
    Column("currency", Text, nullable=False),
    Column("until", _INSTANT, nullable=False),
    Column("status", Text, nullable=False),
    Column("number", Text, unique=True),
    Column("total", BigInteger, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("issued_at", _INSTANT),
    Column("paid_at", _INSTANT),
    Column("closed_at", _INSTANT),
    Column("stripe_invoice_id", Text, unique=True),
    Column("stripe_state", Text, nullable=False, server_default="none"),  # none, draft, open
    Column("payment_attempt", Integer, nullable=False, server_default="1"),
    Column("work_after", _INSTANT),  # a worker may take it from here on; its lease while one has it
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    UniqueConstraint("organisation_id", "currency", "until"),
    Index("ix_invoice_draft", "created_at", postgresql_where=text("status = 'draft'")),
    Index(
        "ix_invoice_unsent", "work_after", postgresql_where=text("status = 'open' AND stripe_state <> 'open'")
    ),
    Index("ix_invoice_open", "issued_at", postgresql_where=text("status = 'open'")),
)  # fmt: skip

invoice_line = Table(
    "invoice_line", metadata,
    Column("id", Uuid, primary_key=True),
    Column("invoice_id", Uuid, ForeignKey("invoice.id"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("provider_organisation_id", Uuid, nullable=False),
    Column("subscription_id", Uuid, nullable=False),
    Column("plan_version_id", Uuid, nullable=False),
    Column("api_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("series", Text, nullable=False),
    Column("during", TSTZRANGE, nullable=False),
    Column("month", Date, nullable=False),
    Column("description", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("unit_price", Text),
    Column("amount", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("metered_total", BigInteger),
    Column("trace", JSONB, nullable=False),
    UniqueConstraint("invoice_id", "position"),
    Index("ix_invoice_line_organisation_id_month", "organisation_id", "month"),
)  # fmt: skip

ledger_transaction = Table(
    "ledger_transaction", metadata,
    Column("id", Uuid, primary_key=True),
    Column("posting_key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("invoice_id", Uuid, index=True),
    Column("payout_id", Uuid, index=True),
    Column("posted_at", _INSTANT, nullable=False),
    # The database transaction that made it: no entry can be added by a later one.
    Column("made_by", BigInteger, nullable=False, server_default=text("pg_current_xact_id()::text::bigint")),
)  # fmt: skip

ledger_entry = Table(
    "ledger_entry", metadata,
    Column("id", Uuid, primary_key=True),
    Column("transaction_id", Uuid, ForeignKey("ledger_transaction.id"), nullable=False, index=True),
    Column("account", Text, nullable=False),
    Column("organisation_id", Uuid),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Index("ix_ledger_entry_organisation_id_account", "organisation_id", "account"),
)  # fmt: skip

payout = Table(
    "payout", metadata,
    Column("id", Uuid, primary_key=True),
    Column("organisation_id", Uuid, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("stripe_transfer_id", Text, unique=True),
    Column("created_at", _INSTANT, nullable=False),
    Column("finished_at", _INSTANT),
    Column("work_after", _INSTANT, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Index("ix_payout_organisation_id_created_at", "organisation_id", "created_at"),
    Index("uq_payout_started", "organisation_id", "currency", unique=True,
          postgresql_where=text("status = 'started'")),
)  # fmt: skip

# Every request to Stripe that changes something: its idempotency key is here before it is sent.
stripe_call = Table(
    "stripe_call", metadata,
    Column("key", Text, primary_key=True),
    Column("operation", Text, nullable=False),
    Column("first_sent_at", _INSTANT, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("burned", Integer, nullable=False, server_default="0"),
    Column("answered_at", _INSTANT),
    Column("outcome", Text),
)  # fmt: skip

webhook_event = Table(
    "webhook_event", metadata,
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("object_id", Text),
    Column("account", Text),
    Column("created_at", _INSTANT, nullable=False),
    Column("received_at", _INSTANT, nullable=False),
    Column("status", Text, nullable=False),  # waiting, done
    Column("work_after", _INSTANT, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Index("ix_webhook_event_waiting", "work_after", postgresql_where=text("status = 'waiting'")),
)  # fmt: skip
