"""APIs with their versions, documents, endpoints and plans, categories, and the copies that the catalogue keeps."""

from alembic import op

from common.migrations import common_tables_v1, grant, tenant_policy

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CATEGORIES = [
    ("ai-machine-learning", "AI & Machine Learning"),
    ("communication", "Communication"),
    ("data", "Data"),
    ("e-commerce", "E-commerce"),
    ("finance", "Finance"),
    ("location", "Location"),
    ("media", "Media"),
    ("security", "Security"),
    ("social", "Social"),
    ("utilities", "Utilities"),
]
VISIBLE_API = "status IN ('published', 'deprecated') AND visibility IN ('public', 'unlisted')"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_copies()
    _create_apis()
    _create_versions()
    _create_plans()
    _keep_search()
    _keep_plan_versions()
    _protect()
    common_tables_v1(op, "catalog")


def _create_copies() -> None:
    op.execute("""
        CREATE TABLE category (
            slug text NOT NULL,
            name text NOT NULL,
            position smallint NOT NULL,
            CONSTRAINT pk_category PRIMARY KEY (slug)
        )""")
    for position, (slug, name) in enumerate(CATEGORIES):
        op.execute(f"INSERT INTO category (slug, name, position) VALUES ('{slug}', '{name}', {position})")
    op.execute("""
        CREATE TABLE organisation (
            organisation_id uuid NOT NULL,
            version integer NOT NULL,
            slug text NOT NULL,
            name text,
            status text NOT NULL,
            CONSTRAINT pk_organisation PRIMARY KEY (organisation_id)
        )""")
    op.execute("CREATE INDEX ix_organisation_slug ON organisation (slug)")
    op.execute("""
        CREATE TABLE gateway_state (
            api_id uuid NOT NULL,
            version integer NOT NULL,
            state text NOT NULL,
            reason text,
            proxy_url text,
            CONSTRAINT pk_gateway_state PRIMARY KEY (api_id)
        )""")


def _create_apis() -> None:
    op.execute("""
        CREATE TABLE api (
            id uuid NOT NULL,
            version integer NOT NULL,
            provider_organisation_id uuid NOT NULL,
            provider_slug text NOT NULL,
            slug text NOT NULL,
            name text NOT NULL,
            description text NOT NULL,
            long_description text NOT NULL,
            website text,
            logo_url text,
            category text NOT NULL,
            tags text[] NOT NULL,
            status text NOT NULL,
            visibility text NOT NULL,
            base_url text NOT NULL,
            cors_origins text[] NOT NULL,
            latest_version text,
            featured boolean NOT NULL,
            lowest_fee bigint,
            total_calls bigint NOT NULL,
            review_note text,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            published_at timestamptz,
            search tsvector NOT NULL,
            CONSTRAINT pk_api PRIMARY KEY (id),
            CONSTRAINT uq_api_provider_organisation_id_slug UNIQUE (provider_organisation_id, slug),
            CONSTRAINT uq_api_id_provider_organisation_id UNIQUE (id, provider_organisation_id),
            CONSTRAINT fk_api_category FOREIGN KEY (category) REFERENCES category (slug),
            CONSTRAINT ck_api_status CHECK (status IN
                ('draft', 'pending_review', 'rejected', 'published', 'deprecated', 'suspended', 'retired')),
            CONSTRAINT ck_api_visibility CHECK (visibility IN ('public', 'unlisted', 'private'))
        )""")
    op.execute("CREATE INDEX ix_api_provider_slug ON api (provider_slug, slug)")
    op.execute("CREATE INDEX ix_api_listed ON api (category) WHERE status = 'published'")
    op.execute("CREATE INDEX ix_api_search ON api USING gin (search)")


def _create_versions() -> None:
    op.execute("""
        CREATE TABLE api_version (
            id uuid NOT NULL,
            version integer NOT NULL,
            api_id uuid NOT NULL,
            provider_organisation_id uuid NOT NULL,
            name text NOT NULL,
            state text NOT NULL,
            is_latest boolean NOT NULL,
            base_url text,
            changelog text NOT NULL,
            operations integer NOT NULL,
            created_at timestamptz NOT NULL,
            deprecated_at timestamptz,
            sunset_at timestamptz,
            CONSTRAINT pk_api_version PRIMARY KEY (id),
            CONSTRAINT fk_api_version_api_id_provider_organisation_id FOREIGN KEY (api_id, provider_organisation_id)
                REFERENCES api (id, provider_organisation_id) ON DELETE CASCADE,
            CONSTRAINT uq_api_version_api_id_name UNIQUE (api_id, name),
            CONSTRAINT uq_api_version_id_provider_organisation_id UNIQUE (id, provider_organisation_id),
            CONSTRAINT ck_api_version_state CHECK (state IN ('active', 'deprecated', 'sunset'))
        )""")
    op.execute("CREATE UNIQUE INDEX uq_api_version_latest ON api_version (api_id) WHERE is_latest")
    op.execute("""
        CREATE TABLE openapi_document (
            version_id uuid NOT NULL,
            provider_organisation_id uuid NOT NULL,
            content text NOT NULL,
            sha256 text NOT NULL,
            openapi text NOT NULL,
            title text NOT NULL,
            warnings jsonb NOT NULL,
            uploaded_at timestamptz NOT NULL,
            CONSTRAINT pk_openapi_document PRIMARY KEY (version_id),
            CONSTRAINT fk_openapi_document_version_id_provider_organisation_id
                FOREIGN KEY (version_id, provider_organisation_id)
                REFERENCES api_version (id, provider_organisation_id) ON DELETE CASCADE
        )""")
    op.execute("""
        CREATE TABLE endpoint (
            id uuid NOT NULL,
            version_id uuid NOT NULL,
            provider_organisation_id uuid NOT NULL,
            position integer NOT NULL,
            method text NOT NULL,
            path text NOT NULL,
            operation_id text,
            summary text NOT NULL,
            description text NOT NULL,
            tags text[] NOT NULL,
            deprecated boolean NOT NULL,
            parameters jsonb NOT NULL,
            request_types text[] NOT NULL,
            responses text[] NOT NULL,
            weight integer NOT NULL,
            CONSTRAINT pk_endpoint PRIMARY KEY (id),
            CONSTRAINT fk_endpoint_version_id_provider_organisation_id
                FOREIGN KEY (version_id, provider_organisation_id)
                REFERENCES api_version (id, provider_organisation_id) ON DELETE CASCADE,
            CONSTRAINT uq_endpoint_version_id_path_method UNIQUE (version_id, path, method),
            CONSTRAINT ck_endpoint_weight CHECK (weight >= 0)
        )""")


def _create_plans() -> None:
    op.execute("""
        CREATE TABLE plan (
            id uuid NOT NULL,
            version integer NOT NULL,
            api_id uuid NOT NULL,
            provider_organisation_id uuid NOT NULL,
            name text NOT NULL,
            plan_version_id uuid NOT NULL,
            status text NOT NULL,
            requires_approval boolean NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT pk_plan PRIMARY KEY (id),
            CONSTRAINT fk_plan_api_id_provider_organisation_id FOREIGN KEY (api_id, provider_organisation_id)
                REFERENCES api (id, provider_organisation_id) ON DELETE CASCADE,
            CONSTRAINT uq_plan_api_id_name UNIQUE (api_id, name),
            CONSTRAINT uq_plan_id_provider_organisation_id UNIQUE (id, provider_organisation_id),
            CONSTRAINT ck_plan_status CHECK (status IN ('active', 'archived'))
        )""")
    op.execute("""
        CREATE TABLE plan_version (
            id uuid NOT NULL,
            plan_id uuid NOT NULL,
            provider_organisation_id uuid NOT NULL,
            number integer NOT NULL,
            terms jsonb NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT pk_plan_version PRIMARY KEY (id),
            CONSTRAINT fk_plan_version_plan_id_provider_organisation_id
                FOREIGN KEY (plan_id, provider_organisation_id)
                REFERENCES plan (id, provider_organisation_id) ON DELETE CASCADE,
            CONSTRAINT uq_plan_version_plan_id_number UNIQUE (plan_id, number)
        )""")


def _keep_search() -> None:
    # A trigger rather than a generated column: array_to_string is not immutable in PostgreSQL's eyes.
    op.execute("""
        CREATE FUNCTION keep_api_search() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.search :=
                setweight(to_tsvector('english', NEW.name), 'A')
                || setweight(to_tsvector('simple', replace(NEW.slug, '-', ' ') || ' ' || NEW.provider_slug), 'A')
                || setweight(to_tsvector('english', array_to_string(NEW.tags, ' ')), 'B')
                || setweight(to_tsvector('english', replace(NEW.category, '-', ' ')), 'C')
                || setweight(to_tsvector('english', NEW.description), 'C')
                || setweight(to_tsvector('english', left(NEW.long_description, 20000)), 'D');
            RETURN NEW;
        END $$""")
    op.execute("""
        CREATE TRIGGER keep_search BEFORE INSERT OR UPDATE ON api
        FOR EACH ROW EXECUTE FUNCTION keep_api_search()""")


def _keep_plan_versions() -> None:
    op.execute("""
        CREATE FUNCTION refuse_plan_version_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'a plan version never changes' USING ERRCODE = 'restrict_violation';
        END $$""")
    op.execute("""
        CREATE TRIGGER never_changed BEFORE UPDATE ON plan_version
        FOR EACH ROW EXECUTE FUNCTION refuse_plan_version_change()""")


def _protect() -> None:
    """Row-level security: a provider's own rows; of others only what is published."""
    own = "provider_organisation_id"
    # The subquery is itself bound by api's policies, so these say: whoever sees the API.
    of_visible_api = "EXISTS (SELECT FROM api WHERE api.id = api_id)"
    of_visible_version = "EXISTS (SELECT FROM api_version v WHERE v.id = version_id)"
    of_visible_plan = "EXISTS (SELECT FROM plan p WHERE p.id = plan_id)"
    tenant_policy(op, "api", provider=own, public_where=VISIBLE_API)
    tenant_policy(op, "api_version", provider=own, public_where=of_visible_api)
    tenant_policy(op, "openapi_document", provider=own, public_where=of_visible_version)
    tenant_policy(op, "endpoint", provider=own, public_where=of_visible_version)
    tenant_policy(op, "plan", provider=own, public_where=of_visible_api)
    tenant_policy(op, "plan_version", provider=own, public_where=of_visible_plan)
    tenant_policy(op, "gateway_state", public_where=of_visible_api)
    tenant_policy(op, "organisation", provider="organisation_id", public_where="true")
    grant(op, "catalog", "api", api="SELECT, INSERT, UPDATE, DELETE")
    grant(op, "catalog", "api_version", api="SELECT, INSERT, UPDATE")
    grant(op, "catalog", "openapi_document", api="SELECT, INSERT, UPDATE")
    grant(op, "catalog", "endpoint", api="SELECT, INSERT, UPDATE, DELETE")
    grant(op, "catalog", "plan", api="SELECT, INSERT, UPDATE")
    grant(op, "catalog", "plan_version", api="SELECT, INSERT")
    grant(op, "catalog", "gateway_state", api="SELECT")
    grant(op, "catalog", "organisation", api="SELECT, INSERT")
    grant(op, "catalog", "category", api="SELECT")
