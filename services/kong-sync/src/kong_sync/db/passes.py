"""The last pass of the reconciler, for those who ask from another process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.db.tables import reconcile_pass
from kong_sync.domain.report import PassReport


@dataclass(frozen=True, slots=True)
class LastPass:
    """A pass as stored. `failures` are refusals by owner ("api <id>")."""

    outcome: str
    started_at: datetime
    finished_at: datetime
    changes: int
    withheld: int
    failures: dict[str, str]
    canary_seen: bool | None
    error: str | None


async def put(session: AsyncSession, report: PassReport) -> None:
    """`report` is the last pass."""
    values = {
        "only": True, "outcome": report.outcome.value, "started_at": report.started_at,
        "finished_at": report.finished_at, "changes": len(report.plan.changes), "withheld": len(report.plan.withheld),
        "failures": {f"{owner.concern} {owner.id}".strip(): reason for owner, reason in report.failures.items()},
        "canary_seen": report.canary_seen, "error": report.error,
    }  # fmt: skip
    statement = insert(reconcile_pass).values(**values)
    newer = {name: statement.excluded[name] for name in values if name != "only"}
    await session.execute(statement.on_conflict_do_update(index_elements=["only"], set_=newer))


async def saw(session: AsyncSession, *, seen: bool) -> None:
    """Whether the gateway is known to have loaded all that was written so far."""
    await session.execute(update(reconcile_pass).values(canary_seen=seen))


async def find(session: AsyncSession) -> LastPass | None:
    """The last pass, None before the first."""
    row = (await session.execute(select(reconcile_pass))).mappings().first()
    return LastPass(**{name: value for name, value in row.items() if name != "only"}) if row else None
