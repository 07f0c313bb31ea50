"""Rows of `plan` and `plan_version`."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Row, Select, cast, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.tables import plan, plan_version
from catalog.domain.api import Plan, PlanStatus
from catalog.domain.errors import PlanNotFound
from catalog.domain.terms import Allowance, PriceModel, RateLimits, Terms, Tier, UsagePrice

_COLUMNS = [
    plan.c.id, plan.c.version, plan.c.api_id, plan.c.provider_organisation_id, plan.c.plan_version_id,
    plan.c.status, plan.c.requires_approval, plan.c.created_at, plan_version.c.number, plan_version.c.terms,
]  # fmt: skip


def _select() -> Select[Any]:
    return select(*_COLUMNS).join(plan_version, plan_version.c.id == plan.c.plan_version_id)


def _to_plan(row: Row[Any]) -> Plan:
    values = dict(row._mapping)
    return Plan(**values | {"status": PlanStatus(values["status"]), "terms": to_terms(values["terms"])})


def to_terms(wire: dict[str, Any]) -> Terms:
    """The terms as they were written by `Terms.to_wire`."""
    price = wire["usage_price"]
    unit_price = price.get("unit_price")
    return Terms(
        **wire
        | {
            "first_period_allowance": Allowance(wire["first_period_allowance"]),
            "counted_statuses": tuple(wire.get("counted_statuses", ())),  # terms of before it have none
            "rate_limits": RateLimits(**wire["rate_limits"]),
            "usage_price": UsagePrice(
                model=PriceModel(price["model"]),
                unit_price=None if unit_price is None else Decimal(unit_price),
                package_size=price.get("package_size"),
                package_price=price.get("package_price"),
                tiers=tuple(
                    Tier(tier["up_to"], Decimal(tier["unit_price"]), tier["flat_fee"])
                    for tier in price.get("tiers", ())
                ),
            ),
        }
    )


async def get(session: AsyncSession, api_id: UUID, plan_id: UUID) -> Plan:
    """The API's plan, or PlanNotFound."""
    row = (await session.execute(_select().where(plan.c.api_id == api_id, plan.c.id == plan_id))).first()
    if row is None:
        raise PlanNotFound(plan_id)
    return _to_plan(row)


async def list_of_api(session: AsyncSession, api_id: UUID) -> list[Plan]:
    """Every plan of the API, in the order in which they were made; archived ones too."""
    return [
        _to_plan(row)
        for row in await session.execute(_select().where(plan.c.api_id == api_id).order_by(plan.c.id))
    ]


async def all_after(session: AsyncSession, after: UUID | None, *, limit: int) -> list[Plan]:
    """Every plan in id order, a batch at a time; for publishing them again."""
    query = _select().order_by(plan.c.id).limit(limit)
    rows = await session.execute(query if after is None else query.where(plan.c.id > after))
    return [_to_plan(row) for row in rows]


async def name_is_taken(session: AsyncSession, api_id: UUID, name: str) -> bool:
    """The API has a plan of this name."""
    return (
        await session.scalar(select(plan.c.id).where(plan.c.api_id == api_id, plan.c.name == name))
        is not None
    )


async def insert_if_absent(session: AsyncSession, new: Plan) -> bool:
    """Whether the plan is new, with its first version; False when the API has one of this name."""
    statement = upsert(plan).values(_values(new)).on_conflict_do_nothing(index_elements=["api_id", "name"])
    if (await session.execute(statement.returning(plan.c.id))).first() is None:
        return False
    await _insert_version(session, new, now=new.created_at)
    return True


async def add_version(session: AsyncSession, changed: Plan, *, now: datetime) -> None:
    """The plan is sold by new terms from now on; the old ones stay readable under their own id."""
    await _insert_version(session, changed, now=now)
    await update_plan(session, changed)


async def update_plan(session: AsyncSession, changed: Plan) -> None:
    """The plan's row is as `changed` says. Its caller holds the lock of the API's row."""
    await session.execute(update(plan).where(plan.c.id == changed.id).values(_values(changed)))


async def lowest_fee(session: AsyncSession, api_id: UUID) -> int | None:
    """The smallest fixed fee among the API's active plans, None without one."""
    fee = cast(plan_version.c.terms["fixed_fee"].astext, BigInteger)
    query = (
        select(func.min(fee))
        .select_from(plan)
        .join(plan_version, plan_version.c.id == plan.c.plan_version_id)
    )
    lowest: int | None = await session.scalar(query.where(plan.c.api_id == api_id, plan.c.status == "active"))
    return lowest


async def _insert_version(session: AsyncSession, value: Plan, *, now: datetime) -> None:
    row = {
        "id": value.plan_version_id,
        "plan_id": value.id,
        "provider_organisation_id": value.provider_organisation_id,
        "number": value.number,
        "terms": value.terms.to_wire(),
        "created_at": now,
    }
    await session.execute(insert(plan_version).values(row))


def _values(value: Plan) -> dict[str, Any]:
    columns = [column.name for column in plan.c if column.name != "name"]
    return {name: getattr(value, name) for name in columns} | {"name": value.terms.name}
