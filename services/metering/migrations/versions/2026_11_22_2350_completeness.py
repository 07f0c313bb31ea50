"""What the gateway's nodes counted, and how much of it is metered."""

import sqlalchemy as sa
from alembic import op

from common.migrations import grant, tenant_policy

revision = "0005b"
down_revision = "0004b"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "gateway_node",
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("requests_total", sa.BigInteger, nullable=False),
        sa.Column("read_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("node", name="pk_gateway_node"),
    )
    op.create_table(
        "gateway_counter",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("node", "service", "route", "consumer")),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("node", "service", "route", "consumer", name="pk_gateway_counter"),
    )
    op.create_table(
        "gateway_span",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        *(
            sa.Column(n, INSTANT, nullable=False)
            for n in ("began_from", "began_to", "until_from", "until_to")
        ),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("judged_at", INSTANT),
        sa.Column("judgements", sa.Integer, nullable=False, server_default="0"),
        sa.Column("missing", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name="pk_gateway_span"),
    )
    op.create_index(
        "uq_gateway_span_is_open",
        "gateway_span",
        ["is_open"],
        unique=True,
        postgresql_where=sa.text("is_open"),
    )
    op.create_index("ix_gateway_span_began_from", "gateway_span", ["began_from"])
    op.create_index("ix_gateway_span_until_from", "gateway_span", ["until_from"])
    op.create_table(
        "gateway_requests",
        sa.Column("span_id", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("node", "service", "route", "consumer")),
        *(sa.Column(name, sa.Uuid) for name in ("version_id", "api_id", "subscription_id")),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "span_id", "node", "service", "route", "consumer", name="pk_gateway_requests"
        ),
        sa.ForeignKeyConstraint(
            ["span_id"], ["gateway_span.id"], name="fk_gateway_requests_span_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "completeness",
        sa.Column("span_id", sa.BigInteger, nullable=False),
        sa.Column("api_id", sa.Uuid, nullable=False),
        sa.Column("subscription_id", sa.Uuid),
        sa.Column("provider_org", sa.Uuid),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("counted", "metered", "before", "after")
        ),
        sa.ForeignKeyConstraint(
            ["span_id"], ["gateway_span.id"], name="fk_completeness_span_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint(
            "span_id",
            "api_id",
            "subscription_id",
            name="uq_completeness_span_id",
            postgresql_nulls_not_distinct=True,
        ),
    )
    for table in ("gateway_node", "gateway_counter", "gateway_requests"):
        grant(op, "metering", table, api="")
    for table in ("gateway_span", "completeness"):
        grant(op, "metering", table, api="SELECT")
    # A provider sees its own APIs' shares, and with them the spans that these are of.
    tenant_policy(op, "completeness", provider="provider_org")
    op.execute("ALTER TABLE gateway_span ENABLE ROW LEVEL SECURITY")
    op.execute("""CREATE POLICY own ON gateway_span USING (
        NULLIF(current_setting('app.organisation_id', true), '') IS NOT NULL)""")
