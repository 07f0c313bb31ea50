"""Alert rules, their crossings, and who changed what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.domain.alert import AlertKind, AlertPeriod, AlertRule, Crossing
from metering.domain.errors import AlertRuleNotFound

_RULE = tuple(f.name for f in fields(AlertRule))
_CROSSING = tuple(f.name for f in fields(Crossing))
_VALUES = ", ".join(f":{name}" for name in _RULE)
_SET = ", ".join(f"{name} = :{name}" for name in _RULE if name != "id")
_RULE_COLUMNS, _CROSSING_COLUMNS = ", ".join(_RULE), ", ".join(_CROSSING)

_ADD = text(f"INSERT INTO alert_rule ({_RULE_COLUMNS}, due_at) VALUES ({_VALUES}, :due_at)")
_PUT = text(f"UPDATE alert_rule SET {_SET}, due_at = :due_at WHERE id = :id")
_FIND = (
    f"SELECT {_RULE_COLUMNS} FROM alert_rule WHERE id = :id AND organisation_id = :organisation_id"
    " AND deleted_at IS NULL"
)
_GET, _LOCK = text(_FIND), text(f"{_FIND} FOR UPDATE")
_LIST = text(f"""
    SELECT {_RULE_COLUMNS} FROM alert_rule WHERE organisation_id = :organisation_id AND deleted_at IS NULL
        AND (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT :limit""")
_COUNT = text(
    "SELECT count(*) FROM alert_rule WHERE organisation_id = :organisation_id AND deleted_at IS NULL"
)
# One organisation's rules are added one at a time, so that none slips past the count.
_QUEUE = text(
    "SELECT pg_advisory_xact_lock(hashtext('alert rules ' || CAST(CAST(:organisation_id AS uuid) AS text)))"
)
_NOTE = text("""
    WITH touched AS (
        SELECT id FROM alert_rule WHERE enabled AND deleted_at IS NULL AND (due_at IS NULL OR due_at > :now)
            AND (subscription_id = ANY(:subscriptions) OR api_id = ANY(:apis))
        ORDER BY id FOR UPDATE)
    UPDATE alert_rule AS r SET due_at = :now FROM touched WHERE r.id = touched.id""")
_CLAIM = text(f"""
    SELECT {_RULE_COLUMNS} FROM alert_rule WHERE due_at <= :now ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED""")
_LOOK = text("UPDATE alert_rule SET due_at = :due_at WHERE id = :id")
_LATEST = text(f"""
    SELECT {_CROSSING_COLUMNS} FROM alert_crossing WHERE rule_id = :rule_id ORDER BY fired_at DESC, id DESC LIMIT 1""")
_FIRE = text(
    f"INSERT INTO alert_crossing ({_CROSSING_COLUMNS}) VALUES ({', '.join(f':{name}' for name in _CROSSING)})"
    " ON CONFLICT (rule_id, period_start, threshold) DO NOTHING RETURNING id"
)
_CHANGE = text("""
    UPDATE alert_crossing SET resolved_at = :resolved_at, resolved_value = :resolved_value, announced = :announced,
        silenced = :silenced, version = :version WHERE id = :id""")
_HISTORY = text(f"""
    SELECT {_CROSSING_COLUMNS} FROM alert_crossing WHERE rule_id = :rule_id
        AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit""")
_RECENT = text(f"""
    SELECT {", ".join(f"c.{name}" for name in _CROSSING)}, {", ".join(f"r.{name} AS rule_{name}" for name in _RULE)}
    FROM alert_crossing AS c JOIN alert_rule AS r ON r.id = c.rule_id
    WHERE c.resolved_at IS NULL OR c.fired_at > :since ORDER BY c.id""")
_ADD_AUDIT = text("""
    INSERT INTO alert_audit (id, at, organisation_id, rule_id, actor_user_id, action, before, after)
    VALUES (:id, :at, :organisation_id, :rule_id, :actor_user_id, :action, CAST(:before AS jsonb),
        CAST(:after AS jsonb))""")
_LIST_AUDIT = text("""
    SELECT id, at, organisation_id, rule_id, actor_user_id, action, before, after FROM alert_audit
    WHERE organisation_id = :organisation_id AND (CAST(:before AS uuid) IS NULL OR id < :before)
    ORDER BY id DESC LIMIT :limit""")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who changed what of which rule; written in the transaction of the change, never altered."""

    id: UUID
    at: datetime
    organisation_id: UUID
    rule_id: UUID
    actor_user_id: UUID
    action: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def _to_rule(row: RowMapping, *, prefix: str = "") -> AlertRule:
    values = {name: row[prefix + name] for name in _RULE}
    return AlertRule(**values | {"kind": AlertKind(values["kind"]), "period": AlertPeriod(values["period"])})


def _to_crossing(row: RowMapping) -> Crossing:
    return Crossing(**{name: row[name] for name in _CROSSING})


def _of(value: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


async def add(session: AsyncSession, rule: AlertRule, *, due_at: datetime) -> None:
    """The rule is stored, and looked at from `due_at` on."""
    await session.execute(_ADD, _of(rule, _RULE) | {"due_at": due_at})


async def put(session: AsyncSession, rule: AlertRule, *, due_at: datetime) -> None:
    """The stored rule, which was locked before, is `rule`."""
    await session.execute(_PUT, _of(rule, _RULE) | {"due_at": due_at})


async def count_of(session: AsyncSession, organisation_id: UUID) -> int:
    """How many rules the organisation has; nobody else adds one of its until this transaction ends."""
    names = {"organisation_id": organisation_id}
    await session.execute(_QUEUE, names)
    return int(await session.scalar(_COUNT, names) or 0)


async def get(session: AsyncSession, rule_id: UUID, *, organisation_id: UUID) -> AlertRule:
    """The organisation's rule; AlertRuleNotFound when there is no such one."""
    return await _one(session, _GET, rule_id, organisation_id)


async def lock(session: AsyncSession, rule_id: UUID, *, organisation_id: UUID) -> AlertRule:
    """The same, held until the transaction ends: no worker judges by it meanwhile."""
    return await _one(session, _LOCK, rule_id, organisation_id)


async def _one(session: AsyncSession, query: TextClause, rule_id: UUID, organisation_id: UUID) -> AlertRule:
    row = (
        (await session.execute(query, {"id": rule_id, "organisation_id": organisation_id})).mappings().first()
    )
    if row is None:
        raise AlertRuleNotFound("There is no such alert rule in your organisation.")
    return _to_rule(row)


async def list_rules(
    session: AsyncSession, organisation_id: UUID, *, after: UUID | None, limit: int
) -> list[AlertRule]:
    """At most `limit` rules of the organisation, in id order, after the id `after`."""
    values = {"organisation_id": organisation_id, "after": after, "limit": limit}
    return [_to_rule(row) for row in (await session.execute(_LIST, values)).mappings()]


async def note_changed(
    session: AsyncSession, *, subscriptions: Sequence[UUID], apis: Sequence[UUID], now: datetime
) -> None:
    """The rules on these subscriptions and APIs are looked at from `now` on: what they measure has changed."""
    if subscriptions or apis:
        values = {"subscriptions": list(subscriptions), "apis": list(apis), "now": now}
        await session.execute(_NOTE, values)


async def claim_due(session: AsyncSession, *, now: datetime, limit: int) -> list[AlertRule]:
    """At most `limit` rules that are due, each locked: of two workers one judges a rule, the other passes it by."""
    return [_to_rule(row) for row in (await session.execute(_CLAIM, {"now": now, "limit": limit})).mappings()]


async def look_again(session: AsyncSession, rule_id: UUID, due_at: datetime | None) -> None:
    """The rule, which is locked, is looked at again from `due_at` on, or when its data changes."""
    await session.execute(_LOOK, {"id": rule_id, "due_at": due_at})


async def latest_crossing(session: AsyncSession, rule_id: UUID) -> Crossing | None:
    """What the rule fired last."""
    row = (await session.execute(_LATEST, {"rule_id": rule_id})).mappings().first()
    return None if row is None else _to_crossing(row)


async def fire(session: AsyncSession, crossing: Crossing) -> bool:
    """False, and nothing is written, when the rule fired at this threshold in this period before."""
    return (await session.execute(_FIRE, _of(crossing, _CROSSING))).first() is not None


async def change_crossing(session: AsyncSession, crossing: Crossing) -> None:
    """The stored crossing is `crossing`."""
    await session.execute(_CHANGE, _of(crossing, _CROSSING))


async def history(session: AsyncSession, rule_id: UUID, *, before: UUID | None, limit: int) -> list[Crossing]:
    """At most `limit` crossings of the rule, the newest first, older than the crossing `before`."""
    values = {"rule_id": rule_id, "before": before, "limit": limit}
    return [_to_crossing(row) for row in (await session.execute(_HISTORY, values)).mappings()]


async def recent(session: AsyncSession, *, now: datetime) -> list[tuple[AlertRule, Crossing]]:
    """Every open crossing and those of the last week, each with its rule."""
    rows = (await session.execute(_RECENT, {"since": now - timedelta(days=7)})).mappings()
    return [(_to_rule(row, prefix="rule_"), _to_crossing(row)) for row in rows]


async def add_audit(session: AsyncSession, entry: AuditEntry) -> None:
    """The entry is on record once the transaction commits."""
    values = _of(entry, [f.name for f in fields(AuditEntry)])
    values |= {"before": json.dumps(dict(entry.before)), "after": json.dumps(dict(entry.after))}
    await session.execute(_ADD_AUDIT, values)


async def list_audit(
    session: AsyncSession, organisation_id: UUID, *, before: UUID | None, limit: int
) -> list[AuditEntry]:
    """At most `limit` entries of the organisation, the newest first, older than the entry `before`."""
    values = {"organisation_id": organisation_id, "before": before, "limit": limit}
    return [AuditEntry(**row) for row in (await session.execute(_LIST_AUDIT, values)).mappings()]
