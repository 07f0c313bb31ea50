"""Subscriptions with their phases and keys, and the copies that this service keeps of others' state."""

from alembic import op

from common.migrations import common_tables_v1, grant, tenant_policy

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_copies_of_the_catalogue()
    _create_other_copies()
    _create_subscriptions()
    _create_keys()
    _protect()
    common_tables_v1(op, "subscriptions")


def _create_copies_of_the_catalogue() -> None:
    op.execute("""
        CREATE TABLE api (
            api_id uuid NOT NULL,
            version integer NOT NULL,
            provider_organisation_id uuid NOT NULL,
            provider_slug text NOT NULL,
            slug text NOT NULL,
            name text NOT NULL,
            status text NOT NULL,
            visibility text NOT NULL,
            CONSTRAINT pk_api PRIMARY KEY (api_id)
        )""")
    op.execute("""
        CREATE TABLE plan (
            plan_id uuid NOT NULL,
            version integer NOT NULL,
            plan_version_id uuid NOT NULL,
            api_id uuid NOT NULL,
            api_slug text NOT NULL,
            provider_organisation_id uuid NOT NULL,
            provider_slug text NOT NULL,
            status text NOT NULL,
            requires_approval boolean NOT NULL,
            terms jsonb NOT NULL,
            CONSTRAINT pk_plan PRIMARY KEY (plan_id)
        )""")


def _create_other_copies() -> None:
    op.execute("""
        CREATE TABLE standing (
            organisation_id uuid NOT NULL,
            version integer NOT NULL,
            standing text NOT NULL,
            since timestamptz NOT NULL,
            CONSTRAINT pk_standing PRIMARY KEY (organisation_id)
        )""")
    op.execute("""
        CREATE TABLE gateway_state (
            subscription_id uuid NOT NULL,
            version integer NOT NULL,
            state text NOT NULL,
            reason text,
            CONSTRAINT pk_gateway_state PRIMARY KEY (subscription_id)
        )""")
    op.execute("""
        CREATE TABLE quota (
            subscription_id uuid NOT NULL,
            period text NOT NULL,
            version integer NOT NULL,
            "limit" bigint,
            used bigint NOT NULL,
            state text NOT NULL,
            until timestamptz,
            CONSTRAINT pk_quota PRIMARY KEY (subscription_id, period)
        )""")


def _create_subscriptions() -> None:
    op.execute("""
        CREATE TABLE subscription (
            id uuid NOT NULL,
            version integer NOT NULL,
            organisation_id uuid NOT NULL,
            provider_organisation_id uuid NOT NULL,
            provider_slug text NOT NULL,
            api_id uuid NOT NULL,
            api_slug text NOT NULL,
            plan_id uuid NOT NULL,
            plan_version_id uuid NOT NULL,
            status text NOT NULL,
            reason text,
            terms jsonb NOT NULL,
            limits_override jsonb,
            created_at timestamptz NOT NULL,
            started_at timestamptz,
            canceled_at timestamptz,
            CONSTRAINT pk_subscription PRIMARY KEY (id),
            CONSTRAINT uq_subscription_id_organisation_id UNIQUE (id, organisation_id),
            CONSTRAINT ck_subscription_status CHECK
                (status IN ('pending_approval', 'active', 'paused', 'past_due', 'canceled', 'rejected'))
        )""")
    op.execute("""
        CREATE UNIQUE INDEX uq_subscription_live ON subscription (organisation_id, api_id)
        WHERE status IN ('pending_approval', 'active', 'paused', 'past_due')""")
    op.execute("CREATE INDEX ix_subscription_organisation_id ON subscription (organisation_id, id)")
    op.execute(
        "CREATE INDEX ix_subscription_provider_organisation_id ON subscription (provider_organisation_id, id)"
    )
    op.execute("""
        CREATE TABLE phase (
            subscription_id uuid NOT NULL,
            number integer NOT NULL,
            organisation_id uuid NOT NULL,
            provider_organisation_id uuid NOT NULL,
            plan_version_id uuid NOT NULL,
            since timestamptz NOT NULL,
            until timestamptz,
            terms jsonb NOT NULL,
            CONSTRAINT pk_phase PRIMARY KEY (subscription_id, number),
            CONSTRAINT fk_phase_subscription_id_organisation_id FOREIGN KEY (subscription_id, organisation_id)
                REFERENCES subscription (id, organisation_id),
            CONSTRAINT ck_phase_order CHECK (until IS NULL OR until >= since)
        )""")


def _create_keys() -> None:
    op.execute("""
        CREATE TABLE api_key (
            id uuid NOT NULL,
            version integer NOT NULL,
            subscription_id uuid NOT NULL,
            organisation_id uuid NOT NULL,
            api_id uuid NOT NULL,
            name text NOT NULL,
            prefix text NOT NULL,
            sha256 text NOT NULL,
            mode text NOT NULL,
            status text NOT NULL,
            scopes text[] NOT NULL,
            created_at timestamptz NOT NULL,
            expires_at timestamptz,
            revoked_at timestamptz,
            replaced_by uuid,
            CONSTRAINT pk_api_key PRIMARY KEY (id),
            CONSTRAINT fk_api_key_subscription_id_organisation_id FOREIGN KEY (subscription_id, organisation_id)
                REFERENCES subscription (id, organisation_id),
            CONSTRAINT uq_api_key_sha256 UNIQUE (sha256),
            CONSTRAINT ck_api_key_mode CHECK (mode IN ('live', 'test')),
            CONSTRAINT ck_api_key_status CHECK (status IN ('active', 'expiring', 'expired', 'revoked')),
            CONSTRAINT ck_api_key_hash_only CHECK (length(prefix) = 12 AND sha256 ~ '^[0-9a-f]{64}$')
        )""")
    op.execute("CREATE INDEX ix_api_key_organisation_id ON api_key (organisation_id, id)")
    op.execute("CREATE INDEX ix_api_key_subscription_id ON api_key (subscription_id, id)")
    op.execute("""
        CREATE INDEX ix_api_key_expires_at ON api_key (expires_at)
        WHERE status IN ('active', 'expiring') AND expires_at IS NOT NULL""")


def _protect() -> None:
    """Row-level security: consumer and provider see a subscription; keys are the consumer's alone."""
    of_visible_subscription = "EXISTS (SELECT FROM subscription s WHERE s.id = subscription_id)"
    on_sale = "status IN ('published', 'deprecated') AND visibility IN ('public', 'unlisted')"
    provider = "provider_organisation_id"
    tenant_policy(op, "api", provider=provider, public_where=on_sale)
    tenant_policy(
        op, "plan", provider=provider, public_where="EXISTS (SELECT FROM api a WHERE a.api_id = plan.api_id)"
    )
    tenant_policy(op, "subscription", consumer="organisation_id", provider=provider)
    tenant_policy(op, "phase", consumer="organisation_id", provider=provider)
    tenant_policy(op, "api_key", consumer="organisation_id")
    # Its providers see it too: whether an approved subscription may start depends on it.
    of_visible_consumer = (
        "EXISTS (SELECT FROM subscription s WHERE s.organisation_id = standing.organisation_id)"
    )
    tenant_policy(op, "standing", consumer="organisation_id", public_where=of_visible_consumer)
    tenant_policy(op, "gateway_state", public_where=of_visible_subscription)
    tenant_policy(op, "quota", public_where=of_visible_subscription)
    for table in ("api", "plan", "standing", "gateway_state", "quota"):
        grant(op, "subscriptions", table, api="SELECT")
    for table in ("subscription", "phase", "api_key"):
        grant(op, "subscriptions", table, api="SELECT, INSERT, UPDATE")
