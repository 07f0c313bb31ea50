"""Pricing an API with a plan."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import apis, plans
from catalog.domain.api import Api, Plan
from catalog.domain.errors import PlanNameTaken
from catalog.domain.publishing import refuse_when_frozen
from catalog.domain.terms import checked_terms
from catalog.events.plan_changed import PlanChanged
from catalog.metrics import PLANS_CREATED
from common import outbox


async def create_plan(session: AsyncSession, api: Api, plan: Plan) -> Plan:
    """The API, which the caller has locked, is sold by this plan too, from now on."""
    refuse_when_frozen(api.status)
    checked_terms(plan.terms)
    if not await plans.insert_if_absent(session, plan):
        raise PlanNameTaken(plan.terms.name)
    # For sorting only, and part of no event: the API's version stays.
    await apis.update_api(session, replace(api, lowest_fee=await plans.lowest_fee(session, api.id)))
    await outbox.publish(session, PlanChanged.of(plan, api), now=plan.created_at)
    PLANS_CREATED.inc()
    return plan
