"""`/v1/gateway`: how the gateway stands, what would change, and the word to change it."""

from __future__ import annotations

import asyncio
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from common.http.auth import Member, PlatformAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import DatabaseDep, Transaction
from common.ids import new_id
from common.pagination import Cursor, Limit, id_after, page_of
from kong_sync.api.schemas import (
    ApiProgressOut,
    DiffOut,
    DriftOut,
    LastPassOut,
    NodeOut,
    PastPlanOut,
    PlanOut,
    PlanPage,
    ReconcileIn,
    ReconcileOut,
    StatusOut,
)
from kong_sync.clients.errors import KongUnavailable
from kong_sync.clients.gateway import Gateway
from kong_sync.db import passes, plans, progress
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.errors import ApiUnknown, PlanUnknown, ReconcileBusy
from kong_sync.domain.report import Outcome
from kong_sync.usecases.export_state import export_state
from kong_sync.usecases.find_drift import find_drift
from kong_sync.usecases.plan_changes import plan_changes
from kong_sync.usecases.reconcile import reconcile
from kong_sync.usecases.say_node import say_node

router = APIRouter(prefix="/v1/gateway", tags=["gateway"])
_PATIENCE_SECONDS = 30.0


def _gateway(request: Request) -> Gateway:
    return cast("Gateway", request.app.state.gateway)


GatewayDep = Annotated[Gateway, Depends(_gateway)]


@router.get("/status")
async def get_status(caller: PlatformAdmin, gateway: GatewayDep, db: DatabaseDep) -> StatusOut:
    """How the gateway stands: the node, how many APIs and subscriptions are in which state, the last pass."""
    async with db.begin(caller.scope) as session:
        last = await passes.find(session)
        counts = await progress.count_by_state(session)
    version = await say_node(gateway)
    return StatusOut(
        enabled=gateway.enabled, namespace=gateway.edge.namespace, lua_release=gateway.edge.lua.release,
        node=NodeOut(reachable=version is not None, version=version),
        progress=counts, last_pass=LastPassOut.of(last) if last else None,
    )  # fmt: skip


@router.get("/diff", responses=error_responses(KongUnavailable))
async def get_diff(_: PlatformAdmin, gateway: GatewayDep, db: DatabaseDep, clock: ClockDep) -> DiffOut:
    """What a reconcile would write now."""
    planned = await plan_changes(db, gateway, now=clock.now(), generation=new_id().hex)
    return DiffOut.of(planned.plan)


@router.get("/drift", responses=error_responses(KongUnavailable))
async def get_drift(
    _: PlatformAdmin, gateway: GatewayDep, db: DatabaseDep,
    limit: Annotated[int, Query(ge=1, le=10_000, description="At most so many items.")] = 1_000,
) -> DriftOut:  # fmt: skip
    """What somebody changed in Kong: hand edits and deletes, leftovers, and what hangs on our entities."""
    return DriftOut.of(await find_drift(db, gateway), at_most=limit)


@router.get("/plans")
async def list_plans(
    _: PlatformAdmin, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> PlanPage:
    """The last passes that changed something or failed, the newest first."""
    found = await plans.list_page(session, before=id_after(cursor), limit=limit + 1)
    shown, next_cursor = page_of(found, limit=limit, key=lambda plan: plan.id)
    return PlanPage(items=[PastPlanOut.of(plan) for plan in shown], next_cursor=next_cursor)


@router.get("/plans/{plan_id}", responses=error_responses(PlanUnknown))
async def get_plan(plan_id: UUID, _: PlatformAdmin, session: Transaction) -> PlanOut:
    """One of them, with its changes."""
    found = await plans.find(session, plan_id)
    if found is None:
        raise PlanUnknown("No such plan is in the history. Older ones are not kept.")
    return PlanOut.whole(*found)


@router.get(
    "/deck.yaml",
    response_class=Response,
    responses={200: {"content": {"application/yaml": {"schema": {"type": "string"}}}}},
)
async def get_deck(_: PlatformAdmin, gateway: GatewayDep, db: DatabaseDep, clock: ClockDep) -> Response:
    """The desired state as a decK state file."""
    return Response(await export_state(db, gateway, now=clock.now()), media_type="application/yaml")


@router.post("/reconcile", responses=error_responses(KongUnavailable, ReconcileBusy))
async def post_reconcile(
    body: ReconcileIn, _: PlatformAdmin, gateway: GatewayDep, db: DatabaseDep, clock: ClockDep
) -> ReconcileOut:
    """Compare the gateway with our tables, and make it equal when `dry_run` is false."""
    if body.dry_run:
        planned = await plan_changes(
            db, gateway, now=clock.now(), generation=new_id().hex, confirm_deletes=body.confirm_deletes
        )
        return ReconcileOut(**DiffOut.of(planned.plan).model_dump(), dry_run=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, stop.set)
    report = await reconcile(db, gateway, clock=clock, stop=stop, confirm_deletes=body.confirm_deletes)
    if report.outcome is Outcome.BUSY:
        raise ReconcileBusy("Another pass is running and did not end in time. Try again in a minute.")
    return ReconcileOut.of_pass(report)


@router.get("/apis/{api_id}", responses=error_responses(ApiUnknown))
async def get_api(api_id: UUID, _: Member, session: Transaction) -> ApiProgressOut:
    """How far the gateway is with an API: one's own, or any that is live."""
    told = await progress.find(session, Owner(Concern.API, str(api_id)))
    if told is None:
        raise ApiUnknown("The gateway knows no such API. Publish it first, or check the id.")
    return ApiProgressOut.of(told)
