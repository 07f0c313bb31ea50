"""Billing accounts: the customer and the connected account at Stripe, standing, and the address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class BillingAccount:
    """What billing knows of an organisation. Versions count what is published: account, and standing."""

    organisation_id: UUID
    version: int
    name: str | None
    stripe_customer_id: str | None
    payment_method: dict[str, Any] | None
    connect_account_id: str | None
    charges_enabled: bool
    payouts_enabled: bool
    requirements: tuple[str, ...]
    standing: str
    standing_since: datetime | None
    standing_version: int


@dataclass(frozen=True, slots=True)
class Address:
    """Where invoices go. Personal data: it stands here and nowhere else in billing."""

    legal_name: str
    email: str
    line1: str
    line2: str | None
    postal_code: str
    city: str
    country: str
    tax_id: str | None
    version: int = 0


_MAKE = text("INSERT INTO billing_account (organisation_id) VALUES (:organisation_id) ON CONFLICT DO NOTHING")
_LOCK = text("SELECT * FROM billing_account WHERE organisation_id = :organisation_id FOR UPDATE")
_FIND = text("SELECT * FROM billing_account WHERE organisation_id = :organisation_id")
_BY_CONNECT = text(
    "SELECT organisation_id FROM billing_account WHERE connect_account_id = :connect_account_id"
)
_NAME = text("""
    UPDATE billing_account SET name = :name, name_version = :version
    WHERE organisation_id = :organisation_id AND name_version < :version""")
_CUSTOMER = text("""
    UPDATE billing_account SET stripe_customer_id = :customer_id, version = version + 1
    WHERE organisation_id = :organisation_id AND stripe_customer_id IS NULL""")
_METHOD = text("""
    UPDATE billing_account SET payment_method = CAST(:method AS jsonb) WHERE organisation_id = :organisation_id""")
_CONNECT = text("""
    UPDATE billing_account SET connect_account_id = :account_id, charges_enabled = :charges, payouts_enabled = :payouts,
        requirements = CAST(:requirements AS jsonb), version = version + 1
    WHERE organisation_id = :organisation_id AND (connect_account_id, charges_enabled, payouts_enabled, requirements)
        IS DISTINCT FROM (:account_id, :charges, :payouts, CAST(:requirements AS jsonb))""")
_STANDING = text("""
    UPDATE billing_account SET standing = :standing, standing_since = :now, standing_version = standing_version + 1
    WHERE organisation_id = :organisation_id""")
_ADDRESS = text("SELECT * FROM billing_address WHERE organisation_id = :organisation_id")
_LOCK_ADDRESS = text("SELECT * FROM billing_address WHERE organisation_id = :organisation_id FOR UPDATE")
_PUT_ADDRESS = text("""
    INSERT INTO billing_address AS t (organisation_id, version, legal_name, email, line1, line2, postal_code, city,
        country, tax_id, updated_at)
    VALUES (:organisation_id, 1, :legal_name, :email, :line1, :line2, :postal_code, :city, :country, :tax_id, :now)
    ON CONFLICT (organisation_id) DO UPDATE SET version = t.version + 1, legal_name = excluded.legal_name,
        email = excluded.email, line1 = excluded.line1, line2 = excluded.line2, postal_code = excluded.postal_code,
        city = excluded.city, country = excluded.country, tax_id = excluded.tax_id, updated_at = excluded.updated_at
    RETURNING *""")
_ALL = text(
    "SELECT * FROM billing_account WHERE version > 0 OR standing_version > 0 ORDER BY organisation_id"
)


async def lock(session: AsyncSession, organisation_id: UUID) -> BillingAccount:
    """The account, made if it is new; whoever else works on this organisation's money waits for this transaction."""
    names = {"organisation_id": organisation_id}
    await session.execute(_MAKE, names)
    return _account((await session.execute(_LOCK, names)).one())


async def find(session: AsyncSession, organisation_id: UUID) -> BillingAccount | None:
    """The account, if this organisation ever had to do with money."""
    row = (await session.execute(_FIND, {"organisation_id": organisation_id})).first()
    return None if row is None else _account(row)


async def owner_of_connect_account(session: AsyncSession, connect_account_id: str) -> UUID | None:
    """Whose connected account that is."""
    owner: UUID | None = await session.scalar(_BY_CONNECT, {"connect_account_id": connect_account_id})
    return owner


async def record_name(session: AsyncSession, organisation_id: UUID, *, name: str, version: int) -> None:
    """The copy of the organisation's name is at least that new."""
    await session.execute(_MAKE, {"organisation_id": organisation_id})
    await session.execute(_NAME, {"organisation_id": organisation_id, "name": name, "version": version})


async def record_customer(session: AsyncSession, organisation_id: UUID, customer_id: str) -> None:
    """The organisation is that customer at Stripe; the first one stays."""
    await session.execute(_CUSTOMER, {"organisation_id": organisation_id, "customer_id": customer_id})


async def record_payment_method(session: AsyncSession, organisation_id: UUID, method: dict[str, Any]) -> None:
    """That is the payment method that invoices are paid with."""
    await session.execute(_METHOD, {"organisation_id": organisation_id, "method": json.dumps(method)})


async def record_connect_account(
    session: AsyncSession, organisation_id: UUID, *, account_id: str, charges: bool, payouts: bool,
    requirements: Sequence[str],
) -> None:  # fmt: skip
    """The connected account stands like that; a new version only when something changed."""
    await session.execute(
        _CONNECT,
        {
            "organisation_id": organisation_id, "account_id": account_id, "charges": charges, "payouts": payouts,
            "requirements": json.dumps(list(requirements)),
        },
    )  # fmt: skip


async def record_standing(
    session: AsyncSession, organisation_id: UUID, standing: str, *, now: datetime
) -> None:
    """The organisation's standing, a new version of it."""
    await session.execute(_STANDING, {"organisation_id": organisation_id, "standing": standing, "now": now})


async def find_address(session: AsyncSession, organisation_id: UUID) -> Address | None:
    """Where invoices go, if anybody said so."""
    row = (await session.execute(_ADDRESS, {"organisation_id": organisation_id})).first()
    return None if row is None else _address(row)


async def lock_address(session: AsyncSession, organisation_id: UUID) -> Address | None:
    """The same, and nobody else changes it until this transaction ends."""
    row = (await session.execute(_LOCK_ADDRESS, {"organisation_id": organisation_id})).first()
    return None if row is None else _address(row)


async def put_address(
    session: AsyncSession, organisation_id: UUID, address: Address, *, now: datetime
) -> Address:
    """The address is that from now on."""
    values = {name: getattr(address, name) for name in Address.__slots__}
    values |= {"organisation_id": organisation_id, "now": now}
    return _address((await session.execute(_PUT_ADDRESS, values)).one())


async def all_published(session: AsyncSession) -> list[BillingAccount]:
    """Accounts of which somebody was told."""
    return [_account(row) for row in await session.execute(_ALL)]


def _account(row: Row[Any]) -> BillingAccount:
    return BillingAccount(
        organisation_id=row.organisation_id, version=row.version, name=row.name,
        stripe_customer_id=row.stripe_customer_id, payment_method=row.payment_method,
        connect_account_id=row.connect_account_id, charges_enabled=row.charges_enabled,
        payouts_enabled=row.payouts_enabled, requirements=tuple(row.requirements), standing=row.standing,
        standing_since=row.standing_since, standing_version=row.standing_version,
    )  # fmt: skip


def _address(row: Row[Any]) -> Address:
    return Address(
        row.legal_name,
        row.email,
        row.line1,
        row.line2,
        row.postal_code,
        row.city,
        row.country,
        row.tax_id,
        row.version,
    )
