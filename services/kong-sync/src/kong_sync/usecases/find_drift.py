"""What differs in Kong although our wishes have not changed since they were written."""

from __future__ import annotations

from datetime import datetime

from common.db import Database, Scope
from kong_sync.clients.gateway import Gateway
from kong_sync.db import copies, passes
from kong_sync.db import progress as told_progress
from kong_sync.domain.desired import desired_entities
from kong_sync.domain.drift import Drift, find_drifted, settled_owners
from kong_sync.domain.progress import wishes
from kong_sync.domain.report import Outcome

_ADMIN = Scope(platform_admin=True)
_SETTLED = frozenset({Outcome.EQUAL, Outcome.APPLIED})


async def find_drift(db: Database, gateway: Gateway, *, now: datetime) -> list[Drift]:
    """All drift, and what of others' hangs on our entities. Reads all of Kong; writes nothing."""
    if not gateway.enabled:
        return []
    async with db.begin(_ADMIN) as session:
        tables = await copies.all_tables(session)
    dump = await gateway.admin.dump(())
    # read last: a wish that was changed and written meanwhile has another fingerprint by now, and is no drift
    async with db.begin(_ADMIN) as session:
        told = {owner: one.progress for owner, one in (await told_progress.all_told(session)).items()}
        last = await passes.find(session)
    desired = desired_entities(tables, gateway.edge, generation="", now=now)
    wanted = wishes(tables, desired, public_proxy_url=gateway.public_proxy_url)
    settled = settled_owners(wanted, told)
    return find_drifted(
        gateway.edge, desired, dump, settled=settled, known=wanted,
        platform_settled=last is not None and last.outcome in _SETTLED and settled == frozenset(wanted),
    )  # fmt: skip
