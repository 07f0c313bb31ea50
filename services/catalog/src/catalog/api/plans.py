"""The plans of an API, and the categories."""

from uuid import UUID

from fastapi import APIRouter, Response

from catalog.api.access import visible_api
from catalog.api.bodies import CategoriesOut, CategoryOut, PlanOut, PlansOut, is_own
from catalog.api.plan_bodies import PlanCreate, PlanUpdate
from catalog.db import apis, categories, plans
from catalog.domain.api import Plan, PlanStatus
from catalog.domain.errors import (
    ApiIsFrozen,
    ApiNotFound,
    BadTerms,
    PlanArchived,
    PlanNameTaken,
    PlanNotFound,
)
from catalog.usecases.change_plan import change_plan
from catalog.usecases.create_plan import create_plan
from common.errors import PreconditionFailed
from common.http.auth import Editor, PublicCaller
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.etag import IfMatch, etag, require_match
from common.http.idempotency import Idempotency
from common.http.transaction import Transaction
from common.ids import new_id

router = APIRouter(tags=["plans"])


@router.get("/v1/categories")
async def list_categories(_: PublicCaller, session: Transaction) -> CategoriesOut:
    """Every category, in the order in which they are shown."""
    found = await categories.list_all(session)
    return CategoriesOut(items=[CategoryOut.model_validate(category) for category in found])


@router.get("/v1/apis/{api_id}/plans", responses=error_responses(ApiNotFound))
async def list_plans(api_id: UUID, caller: PublicCaller, session: Transaction) -> PlansOut:
    """The plans that an API is sold by; its provider sees the archived ones too."""
    api = await visible_api(session, api_id, caller)
    found = await plans.list_of_api(session, api.id)
    shown = [plan for plan in found if plan.status is PlanStatus.ACTIVE or is_own(api, caller)]
    return PlansOut(items=[PlanOut.of(plan) for plan in shown])


@router.post(
    "/v1/apis/{api_id}/plans",
    status_code=201,
    response_model=PlanOut,
    responses=error_responses(ApiNotFound, ApiIsFrozen, PlanNameTaken, BadTerms),
)
async def add_plan(
    *,
    api_id: UUID,
    body: PlanCreate,
    caller: Editor,
    session: Transaction,
    clock: ClockDep,
    idempotency: Idempotency,
) -> Response:
    """Price an API with one more plan."""
    if replayed := await idempotency.replay():
        return replayed
    api = await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
    plan = Plan(
        id=new_id(), version=1, api_id=api.id, provider_organisation_id=api.provider_organisation_id,
        plan_version_id=new_id(), number=1, terms=body.terms(), created_at=clock.now(),
        requires_approval=body.requires_approval,
    )  # fmt: skip
    created = await create_plan(session, api, plan)
    answer = await idempotency.answer(201, PlanOut.of(created))
    answer.headers["ETag"] = etag(created.version)
    return answer


@router.put(
    "/v1/apis/{api_id}/plans/{plan_id}",
    responses=error_responses(
        ApiNotFound, ApiIsFrozen, PlanNotFound, PlanArchived, PlanNameTaken, BadTerms, PreconditionFailed
    ),
)
async def replace_plan(
    *, api_id: UUID, plan_id: UUID, body: PlanUpdate, caller: Editor, session: Transaction, clock: ClockDep,
    response: Response, if_match: IfMatch = None,
) -> PlanOut:  # fmt: skip
    """Sell a plan by other terms from now on; what was sold keeps the terms that it was sold by."""
    api = await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
    plan = await plans.get(session, api.id, plan_id)
    require_match(if_match, plan.version)
    changed = await change_plan(
        session, api, plan, terms=body.terms(), requires_approval=body.requires_approval, status=body.status,
        plan_version_id=new_id(), now=clock.now(),
    )  # fmt: skip
    response.headers["ETag"] = etag(changed.version)
    return PlanOut.of(changed)
