"""Changing what a plan is sold by."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import apis, plans
from catalog.domain.api import Api, Plan, PlanStatus
from catalog.domain.errors import PlanArchived, PlanNameTaken
from catalog.domain.publishing import refuse_when_frozen
from catalog.domain.terms import Terms, checked_terms
from catalog.events.plan_changed import PlanChanged
from common import outbox


async def change_plan(
    session: AsyncSession, api: Api, plan: Plan, *, terms: Terms, requires_approval: bool, status: PlanStatus,
    plan_version_id: UUID, now: datetime,
) -> Plan:  # fmt: skip
    """The plan is sold by `terms` from now on. Changed terms are a new plan version, `plan_version_id`.

    What was sold stays as it was sold: subscriptions carry their terms. The caller has locked the API.
    """
    refuse_when_frozen(api.status)
    if plan.status is PlanStatus.ARCHIVED and (terms != plan.terms or status is PlanStatus.ACTIVE):
        raise PlanArchived(plan.id)
    changed = replace(plan, requires_approval=requires_approval, status=status)
    if terms != plan.terms:
        checked_terms(terms)
        changed = replace(changed, terms=terms, plan_version_id=plan_version_id, number=plan.number + 1)
    if changed == plan:
        return plan
    changed = replace(changed, version=plan.version + 1)
    if terms.name != plan.terms.name and await plans.name_is_taken(session, api.id, terms.name):
        raise PlanNameTaken(terms.name)  # the API's lock keeps the answer true
    if terms != plan.terms:
        await plans.add_version(session, changed, now=now)
    else:
        await plans.update_plan(session, changed)
    await apis.update_api(session, replace(api, lowest_fee=await plans.lowest_fee(session, api.id)))
    await outbox.publish(session, PlanChanged.of(changed, api), now=now)
    return changed
