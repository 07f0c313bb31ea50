"""Moving an API along its life, by its provider and by operators."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import StringConstraints

from catalog.api.bodies import ApiOut, ApiPage, Body, Text
from catalog.api.rules import RulesDep
from catalog.db import apis
from catalog.domain.errors import ApiNotFound, InvalidTransition, NothingToPublish, OrganisationSuspended
from catalog.domain.publishing import Action, AdminAction, ApiStatus
from catalog.usecases.change_status import change_status
from common.errors import PreconditionFailed
from common.http.auth import Editor, PlatformAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.etag import IfMatch, etag, require_match
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, encode_cursor, id_after

router = APIRouter(tags=["publishing"])
_ERRORS = error_responses(
    ApiNotFound, InvalidTransition, NothingToPublish, OrganisationSuspended, PreconditionFailed
)


class Judgement(Body):
    """What the provider is told."""

    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000), Text] | None = None


@router.post("/v1/apis/{api_id}/{action}", responses=_ERRORS)
async def act_on_api(
    *, api_id: UUID, action: Action, caller: Editor, session: Transaction, clock: ClockDep, rules: RulesDep,
    response: Response, if_match: IfMatch = None,
) -> ApiOut:  # fmt: skip
    """Submit, publish, unpublish, deprecate or retire an API. Repeating what is already so changes nothing."""
    api = await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
    require_match(if_match, api.version)
    changed = await change_status(session, api, action, moderated=rules.moderated, now=clock.now())
    response.headers["ETag"] = etag(changed.version)
    return ApiOut.of(changed, caller)


@router.get("/v1/admin/apis")
async def list_apis_by_status(
    caller: PlatformAdmin, session: Transaction,
    status: Annotated[ApiStatus, Query()] = ApiStatus.PENDING_REVIEW, limit: Limit = 20, cursor: Cursor = None,
) -> ApiPage:  # fmt: skip
    """APIs in one status, those first that have waited longest."""
    found = await apis.list_by_status(session, status, after=id_after(cursor), limit=limit + 1)
    more = encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
    return ApiPage(items=[ApiOut.of(api, caller) for api in found[:limit]], next_cursor=more)


@router.post("/v1/admin/apis/{api_id}/{action}", responses=_ERRORS)
async def judge_api(
    *, api_id: UUID, action: AdminAction, caller: PlatformAdmin, session: Transaction, clock: ClockDep,
    body: Judgement | None = None,
) -> ApiOut:  # fmt: skip
    """Approve, reject, suspend or reinstate an API."""
    api = await apis.get_locked(session, api_id)
    note = body.note if body else None
    changed = await change_status(session, api, action, moderated=False, now=clock.now(), note=note)
    return ApiOut.of(changed, caller)
