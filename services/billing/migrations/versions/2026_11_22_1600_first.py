"""Read copies, runs, invoices, the ledger, payouts and what Stripe told us."""

from alembic import op

from common.migrations import common_tables_v1, grant, tenant_policy

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    for statements in (COPIES, ACCOUNTS, RUNS, INVOICES, LEDGER, STRIPE, LEDGER_RULES):
        for statement in statements.split(";;"):
            if statement.strip():
                op.execute(statement)
    _protect()
    common_tables_v1(op, "billing")


def downgrade() -> None:
    raise NotImplementedError("money records are never dropped: restore a backup")


COPIES = """
CREATE TABLE subscription (
    subscription_id uuid CONSTRAINT pk_subscription PRIMARY KEY,
    version integer NOT NULL,
    organisation_id uuid NOT NULL,
    provider_organisation_id uuid NOT NULL,
    provider_slug text NOT NULL,
    api_id uuid NOT NULL,
    api_slug text NOT NULL,
    status text NOT NULL,
    started_at timestamptz,
    canceled_at timestamptz,
    phases jsonb NOT NULL
);;
CREATE INDEX ix_subscription_organisation_id ON subscription (organisation_id);;
CREATE TABLE sold_terms (
    subscription_id uuid NOT NULL,
    plan_version_id uuid NOT NULL,
    terms jsonb NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT pk_sold_terms PRIMARY KEY (subscription_id, plan_version_id)
);;
CREATE TABLE metered_day (
    subscription_id uuid NOT NULL,
    plan_version_id uuid NOT NULL,
    day date NOT NULL,
    version bigint NOT NULL,
    organisation_id uuid NOT NULL,
    api_id uuid NOT NULL,
    calls bigint NOT NULL,
    billable_calls bigint NOT NULL,
    units bigint NOT NULL,
    CONSTRAINT pk_metered_day PRIMARY KEY (subscription_id, plan_version_id, day)
);;
CREATE INDEX ix_metered_day_organisation_id_day ON metered_day (organisation_id, day);;
CREATE TABLE period_part (
    cutoff_id uuid NOT NULL,
    part integer NOT NULL,
    parts integer NOT NULL,
    received_at timestamptz NOT NULL,
    CONSTRAINT pk_period_part PRIMARY KEY (cutoff_id, part)
);;
CREATE TABLE period_total (
    cutoff_id uuid NOT NULL,
    subscription_id uuid NOT NULL,
    plan_version_id uuid NOT NULL,
    organisation_id uuid NOT NULL,
    api_id uuid NOT NULL,
    month date NOT NULL,
    until timestamptz NOT NULL,
    calls bigint NOT NULL,
    billable_calls bigint NOT NULL,
    units bigint NOT NULL,
    CONSTRAINT pk_period_total PRIMARY KEY (cutoff_id, subscription_id, plan_version_id)
);;
CREATE INDEX ix_period_total_organisation_id_month ON period_total (organisation_id, month);;
CREATE TABLE usage_adjustment (
    subscription_id uuid NOT NULL,
    plan_version_id uuid NOT NULL,
    month date NOT NULL,
    version bigint NOT NULL,
    rated_version bigint NOT NULL DEFAULT 0,
    organisation_id uuid NOT NULL,
    api_id uuid NOT NULL,
    billable_calls bigint NOT NULL,
    units bigint NOT NULL,
    CONSTRAINT pk_usage_adjustment PRIMARY KEY (subscription_id, plan_version_id, month)
);;
CREATE INDEX ix_usage_adjustment_unrated ON usage_adjustment (organisation_id) WHERE rated_version < version
"""

ACCOUNTS = """
CREATE TABLE billing_account (
    organisation_id uuid CONSTRAINT pk_billing_account PRIMARY KEY,
    version integer NOT NULL DEFAULT 0,
    name text,
    name_version integer NOT NULL DEFAULT 0,
    stripe_customer_id text CONSTRAINT uq_billing_account_stripe_customer_id UNIQUE,
    payment_method jsonb,
    connect_account_id text CONSTRAINT uq_billing_account_connect_account_id UNIQUE,
    charges_enabled boolean NOT NULL DEFAULT false,
    payouts_enabled boolean NOT NULL DEFAULT false,
    requirements jsonb NOT NULL DEFAULT '[]'::jsonb,
    standing text NOT NULL DEFAULT 'good'
        CONSTRAINT ck_billing_account_standing CHECK (standing IN ('good', 'past_due')),
    standing_since timestamptz,
    standing_version integer NOT NULL DEFAULT 0
);;
CREATE TABLE billing_address (
    organisation_id uuid CONSTRAINT pk_billing_address PRIMARY KEY,
    version integer NOT NULL,
    legal_name text NOT NULL,
    email text NOT NULL,
    line1 text NOT NULL,
    line2 text,
    postal_code text NOT NULL,
    city text NOT NULL,
    country text NOT NULL,
    tax_id text,
    updated_at timestamptz NOT NULL
);;
CREATE TABLE billing_switch (
    id smallint CONSTRAINT pk_billing_switch PRIMARY KEY CONSTRAINT ck_billing_switch_single CHECK (id = 1),
    enabled boolean NOT NULL,
    since timestamptz
)
"""

RUNS = """
CREATE TABLE invoice_run (
    id uuid CONSTRAINT pk_invoice_run PRIMARY KEY,
    organisation_id uuid,
    until timestamptz NOT NULL,
    status text NOT NULL CONSTRAINT ck_invoice_run_status CHECK (status IN ('waiting', 'invoicing', 'done')),
    requested_at timestamptz NOT NULL,
    done_at timestamptz,
    CONSTRAINT uq_invoice_run_organisation_id_until UNIQUE NULLS NOT DISTINCT (organisation_id, until)
);;
CREATE INDEX ix_invoice_run_unfinished ON invoice_run (requested_at) WHERE status <> 'done';;
CREATE TABLE invoice_task (
    run_id uuid NOT NULL CONSTRAINT fk_invoice_task_run_id REFERENCES invoice_run (id),
    organisation_id uuid NOT NULL,
    status text NOT NULL CONSTRAINT ck_invoice_task_status CHECK (status IN ('pending', 'held', 'carried', 'done')),
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_invoice_task PRIMARY KEY (run_id, organisation_id)
);;
CREATE INDEX ix_invoice_task_pending ON invoice_task (run_id) WHERE status = 'pending';;
CREATE INDEX ix_invoice_task_organisation_id_status ON invoice_task (organisation_id, status);;
CREATE TABLE unpriced (
    run_id uuid NOT NULL,
    subscription_id uuid NOT NULL,
    plan_version_id uuid NOT NULL,
    organisation_id uuid NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL,
    CONSTRAINT pk_unpriced PRIMARY KEY (run_id, subscription_id, plan_version_id)
);;
CREATE TABLE number_series (
    seller text CONSTRAINT pk_number_series PRIMARY KEY,
    last_number bigint NOT NULL
)
"""

INVOICES = """
CREATE TABLE invoice (
    id uuid CONSTRAINT pk_invoice PRIMARY KEY,
    version integer NOT NULL,
    run_id uuid NOT NULL CONSTRAINT fk_invoice_run_id REFERENCES invoice_run (id),
    organisation_id uuid NOT NULL,
    currency text NOT NULL CONSTRAINT ck_invoice_currency CHECK (currency ~ '^[A-Z]{3}$'),
    until timestamptz NOT NULL,
    status text NOT NULL
        CONSTRAINT ck_invoice_status CHECK (status IN ('draft', 'open', 'paid', 'uncollectible', 'void')),
    number text CONSTRAINT uq_invoice_number UNIQUE,
    total bigint NOT NULL CONSTRAINT ck_invoice_total CHECK (total > 0),
    created_at timestamptz NOT NULL,
    issued_at timestamptz,
    paid_at timestamptz,
    closed_at timestamptz,
    stripe_invoice_id text CONSTRAINT uq_invoice_stripe_invoice_id UNIQUE,
    stripe_state text NOT NULL DEFAULT 'none'
        CONSTRAINT ck_invoice_stripe_state CHECK (stripe_state IN ('none', 'draft', 'open')),
    payment_attempt integer NOT NULL DEFAULT 1,
    work_after timestamptz,
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    CONSTRAINT uq_invoice_organisation_id_currency_until UNIQUE (organisation_id, currency, until),
    CONSTRAINT ck_invoice_issued
        CHECK ((status = 'draft') = (number IS NULL) AND (number IS NULL) = (issued_at IS NULL)),
    CONSTRAINT ck_invoice_paid CHECK ((status = 'paid') = (paid_at IS NOT NULL))
);;
CREATE INDEX ix_invoice_run_id ON invoice (run_id);;
CREATE INDEX ix_invoice_draft ON invoice (created_at) WHERE status = 'draft';;
CREATE INDEX ix_invoice_unsent ON invoice (work_after) WHERE status = 'open' AND stripe_state <> 'open';;
CREATE INDEX ix_invoice_open ON invoice (issued_at) WHERE status = 'open';;
CREATE TABLE invoice_line (
    id uuid CONSTRAINT pk_invoice_line PRIMARY KEY,
    invoice_id uuid NOT NULL CONSTRAINT fk_invoice_line_invoice_id REFERENCES invoice (id),
    position integer NOT NULL,
    organisation_id uuid NOT NULL,
    provider_organisation_id uuid NOT NULL,
    subscription_id uuid NOT NULL,
    plan_version_id uuid NOT NULL,
    api_id uuid NOT NULL,
    kind text NOT NULL,
    series text NOT NULL,
    during tstzrange NOT NULL CONSTRAINT ck_invoice_line_during CHECK (NOT isempty(during)),
    month date NOT NULL,
    description text NOT NULL,
    quantity bigint NOT NULL,
    unit_price text,
    amount bigint NOT NULL,
    fee bigint NOT NULL,
    metered_total bigint,
    trace jsonb NOT NULL,
    CONSTRAINT uq_invoice_line_invoice_id_position UNIQUE (invoice_id, position),
    -- Fixed fees and usage have the empty series: of those, each second of a subscription is billed once.
    CONSTRAINT ck_invoice_line_series CHECK (kind NOT IN ('fixed_fee', 'usage') OR series = ''),
    CONSTRAINT ex_invoice_line_billed_once
        EXCLUDE USING gist (subscription_id WITH =, kind WITH =, series WITH =, during WITH &&)
);;
CREATE INDEX ix_invoice_line_invoice_id ON invoice_line (invoice_id);;
CREATE INDEX ix_invoice_line_organisation_id_month ON invoice_line (organisation_id, month)
"""

LEDGER = """
CREATE TABLE ledger_transaction (
    id uuid CONSTRAINT pk_ledger_transaction PRIMARY KEY,
    posting_key text NOT NULL CONSTRAINT uq_ledger_transaction_posting_key UNIQUE,
    kind text NOT NULL,
    invoice_id uuid,
    payout_id uuid,
    posted_at timestamptz NOT NULL,
    made_by bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint
);;
CREATE INDEX ix_ledger_transaction_invoice_id ON ledger_transaction (invoice_id);;
CREATE INDEX ix_ledger_transaction_payout_id ON ledger_transaction (payout_id);;
CREATE TABLE ledger_entry (
    id uuid CONSTRAINT pk_ledger_entry PRIMARY KEY,
    transaction_id uuid NOT NULL CONSTRAINT fk_ledger_entry_transaction_id REFERENCES ledger_transaction (id),
    account text NOT NULL,
    organisation_id uuid,
    currency text NOT NULL,
    amount bigint NOT NULL CONSTRAINT ck_ledger_entry_amount CHECK (amount <> 0)
);;
CREATE INDEX ix_ledger_entry_transaction_id ON ledger_entry (transaction_id);;
CREATE INDEX ix_ledger_entry_organisation_id_account ON ledger_entry (organisation_id, account);;
CREATE TABLE payout (
    id uuid CONSTRAINT pk_payout PRIMARY KEY,
    organisation_id uuid NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL CONSTRAINT ck_payout_amount CHECK (amount > 0),
    status text NOT NULL CONSTRAINT ck_payout_status CHECK (status IN ('started', 'paid', 'failed')),
    stripe_transfer_id text CONSTRAINT uq_payout_stripe_transfer_id UNIQUE,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    work_after timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    last_error text
);;
CREATE INDEX ix_payout_organisation_id_created_at ON payout (organisation_id, created_at);;
CREATE UNIQUE INDEX uq_payout_started ON payout (organisation_id, currency) WHERE status = 'started'
"""

STRIPE = """
CREATE TABLE stripe_call (
    key text CONSTRAINT pk_stripe_call PRIMARY KEY,
    operation text NOT NULL,
    first_sent_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    burned integer NOT NULL DEFAULT 0,
    answered_at timestamptz,
    outcome text
);;
CREATE TABLE webhook_event (
    id text CONSTRAINT pk_webhook_event PRIMARY KEY,
    type text NOT NULL,
    object_id text,
    account text,
    created_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    status text NOT NULL CONSTRAINT ck_webhook_event_status CHECK (status IN ('waiting', 'done')),
    work_after timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    last_error text
);;
CREATE INDEX ix_webhook_event_waiting ON webhook_event (work_after) WHERE status = 'waiting'
"""

# Deferred: the entries of a transaction are written one after the other and must balance when it commits.
LEDGER_RULES = """
CREATE FUNCTION ledger_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- NEW is a row of either table.
    checked uuid := coalesce(to_jsonb(NEW) ->> 'transaction_id', to_jsonb(NEW) ->> 'id')::uuid;
    entries integer;
    unbalanced text;
BEGIN
    SELECT count(*) INTO entries FROM ledger_entry WHERE transaction_id = checked;
    SELECT string_agg(currency || ' ' || total, ', ') INTO unbalanced FROM (
        SELECT currency, sum(amount) AS total FROM ledger_entry
        WHERE transaction_id = checked GROUP BY currency HAVING sum(amount) <> 0) AS sums;
    IF entries < 2 OR unbalanced IS NOT NULL THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: % entries, %', checked, entries, unbalanced
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balances';
    END IF;
    RETURN NULL;
END $$;;
CREATE CONSTRAINT TRIGGER ledger_balances AFTER INSERT ON ledger_transaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_balances();;
CREATE CONSTRAINT TRIGGER ledger_balances AFTER INSERT ON ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_balances();;
CREATE FUNCTION ledger_is_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ledger_transaction
                   WHERE id = NEW.transaction_id AND made_by = pg_current_xact_id()::text::bigint) THEN
        RAISE EXCEPTION 'ledger transaction % is closed', NEW.transaction_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_is_closed';
    END IF;
    RETURN NEW;
END $$;;
CREATE TRIGGER ledger_is_closed BEFORE INSERT ON ledger_entry FOR EACH ROW EXECUTE FUNCTION ledger_is_closed();;
CREATE FUNCTION ledger_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger only grows: post a correction instead of %', TG_OP
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'ledger_only_grows';
END $$;;
CREATE TRIGGER ledger_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();;
CREATE TRIGGER ledger_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows()
"""

# An API request never makes, changes or deletes money records: only the worker's role does.
API_GRANTS = {
    "subscription": "SELECT",
    "metered_day": "SELECT",
    "billing_account": "SELECT, INSERT",
    "billing_address": "SELECT, INSERT, UPDATE",
    "invoice_run": "SELECT, INSERT",
    "invoice": "SELECT",
    "invoice_line": "SELECT",
    "ledger_entry": "SELECT",
    "payout": "SELECT",
    "sold_terms": "SELECT",
    "billing_switch": "SELECT",
    "ledger_transaction": "SELECT",
    "unpriced": "SELECT",
}
TENANTS = (
    "subscription", "metered_day", "billing_account", "billing_address", "invoice_run", "invoice", "invoice_line",
    "ledger_entry", "payout", "unpriced",
)  # fmt: skip
WORKER_ONLY = (
    "period_part", "period_total", "usage_adjustment", "invoice_task", "number_series", "stripe_call", "webhook_event",
)  # fmt: skip


def _protect() -> None:
    for table in TENANTS:
        tenant_policy(op, table, consumer="organisation_id")
    # Rows without an organisation of their own are visible through the row that owns them.
    op.execute("ALTER TABLE sold_terms ENABLE ROW LEVEL SECURITY")
    op.execute("""CREATE POLICY own ON sold_terms USING (EXISTS (
        SELECT 1 FROM subscription s WHERE s.subscription_id = sold_terms.subscription_id))""")
    op.execute("ALTER TABLE ledger_transaction ENABLE ROW LEVEL SECURITY")
    op.execute("""CREATE POLICY own ON ledger_transaction USING (EXISTS (
        SELECT 1 FROM ledger_entry e WHERE e.transaction_id = ledger_transaction.id))""")
    for table in (*API_GRANTS, *WORKER_ONLY):
        grant(op, "billing", table, api=API_GRANTS.get(table, ""))
    op.execute("REVOKE UPDATE, DELETE ON ledger_transaction, ledger_entry, invoice_line FROM billing_worker")
    op.execute("REVOKE DELETE ON invoice, payout, sold_terms, stripe_call, webhook_event FROM billing_worker")
