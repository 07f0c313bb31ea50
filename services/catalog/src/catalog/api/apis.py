"""APIs: the public list, and a provider's own ones."""

import math
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from catalog.api.access import refuse_hidden, visible_api
from catalog.api.bodies import (
    ApiCreate,
    ApiOut,
    ApiPage,
    ApiSearchPage,
    ApiUpdate,
    FacetOut,
    FacetsOut,
    ProviderPageOut,
)
from catalog.api.rules import RulesDep
from catalog.db import apis, categories, organisations, search
from catalog.db.search import Filters, Sort
from catalog.domain.api import Api
from catalog.domain.errors import (
    ApiIsFrozen,
    ApiNotFound,
    ApiWasPublished,
    BadSettings,
    BadSlug,
    BadUpstream,
    OrganisationSuspended,
    ProviderNotFound,
    SlugTaken,
    UnknownCategory,
)
from catalog.usecases.delete_api import delete_api
from catalog.usecases.edit_api import edit_api
from catalog.usecases.register_api import register_api
from common.errors import PreconditionFailed
from common.http.auth import Editor, Member, PublicCaller
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.etag import IfMatch, etag, require_match
from common.http.idempotency import Idempotency
from common.http.transaction import Transaction
from common.ids import new_id
from common.pagination import Cursor, Limit, decode_cursor, encode_cursor, id_after

router = APIRouter(tags=["apis"])
Words = Annotated[str | None, Query(max_length=200, description="Words to search for.")]
Tag = Annotated[str | None, Query(max_length=30)]
PageNumber = Annotated[int, Query(ge=1, le=1_000, description="Instead of a cursor.")]
_ORDER = {Sort.POPULAR: 3}


@router.get("/v1/apis")
async def list_apis(
    *, caller: PublicCaller, session: Transaction, q: Words = None, category: str | None = None, tag: Tag = None,
    sort: Sort | None = None, limit: Limit = 12, cursor: Cursor = None, page: PageNumber = 1,
) -> ApiSearchPage:  # fmt: skip
    """Published APIs. Ordered by relevance when words are given, else featured ones first, then by calls."""
    slug = await categories.find_slug(session, category) if category else None
    filters = Filters(words=q, category=slug or category, tag=tag)
    order = sort or (Sort.RELEVANCE if filters.has_words else Sort.POPULAR)
    if order is Sort.RELEVANCE and not filters.has_words:
        order = Sort.POPULAR
    after = decode_cursor(cursor, parts=_ORDER.get(order, 2)) if cursor else None
    found = await search.search(
        session, filters, sort=order, after=after, skip=(page - 1) * limit, limit=limit
    )
    total = await search.count(session, filters)
    facets = await search.count_by_category(session, filters)
    return ApiSearchPage(
        items=[ApiOut.of(api, caller) for api in found.items],
        next_cursor=encode_cursor(*found.next_key) if found.next_key else None,
        total=total,
        pages=math.ceil(total / limit),
        facets=FacetsOut(category=[FacetOut(value=slug, name=name, count=n) for slug, name, n in facets]),
    )


@router.get("/v1/provider/apis")
async def list_own_apis(
    caller: Member, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> ApiPage:
    """The APIs of the caller's organisation, drafts too, the newest first."""
    own = await apis.list_own(
        session, organisation_id=caller.organisation_id, after=id_after(cursor), limit=limit + 1
    )
    more = encode_cursor(str(own[limit - 1].id)) if len(own) > limit else None
    return ApiPage(items=[ApiOut.of(api, caller) for api in own[:limit]], next_cursor=more)


@router.post(
    "/v1/apis",
    status_code=201,
    response_model=ApiOut,
    responses=error_responses(SlugTaken, OrganisationSuspended, BadSlug, BadUpstream, UnknownCategory),
)
async def create_api(
    *,
    body: ApiCreate,
    caller: Editor,
    session: Transaction,
    clock: ClockDep,
    rules: RulesDep,
    idempotency: Idempotency,
) -> Response:
    """Register an API as a draft of the caller's organisation."""
    if replayed := await idempotency.replay():
        return replayed
    now = clock.now()
    draft = Api(
        id=new_id(), version=1, provider_organisation_id=caller.organisation_id,
        provider_slug=caller.organisation_slug, created_at=now, updated_at=now,
        **body.model_dump() | {"tags": tuple(body.tags), "cors_origins": tuple(body.cors_origins)},
    )  # fmt: skip
    created = await register_api(
        session, draft, organisation_slug=caller.organisation_slug, allow_loopback=rules.allow_loopback
    )
    answer = await idempotency.answer(201, ApiOut.of(created, caller))
    answer.headers["ETag"] = etag(created.version)
    return answer


@router.get("/v1/apis/{api_id}", responses=error_responses(ApiNotFound))
async def get_api(api_id: UUID, caller: PublicCaller, session: Transaction, response: Response) -> ApiOut:
    """One API: a published one, or the caller's own."""
    api = await visible_api(session, api_id, caller)
    response.headers["ETag"] = etag(api.version)
    return ApiOut.of(api, caller)


@router.patch(
    "/v1/apis/{api_id}",
    responses=error_responses(
        ApiNotFound, ApiIsFrozen, BadUpstream, BadSettings, UnknownCategory, PreconditionFailed
    ),
)
async def update_api(
    *, api_id: UUID, body: ApiUpdate, caller: Editor, session: Transaction, clock: ClockDep, rules: RulesDep,
    response: Response, if_match: IfMatch = None,
) -> ApiOut:  # fmt: skip
    """Change an API of the caller's organisation. The slug stays: it is the path at the gateway."""
    api = await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
    require_match(if_match, api.version)
    edited = await edit_api(
        session, api, body.changes(), allow_loopback=rules.allow_loopback, now=clock.now()
    )
    response.headers["ETag"] = etag(edited.version)
    return ApiOut.of(edited, caller)


@router.delete(
    "/v1/apis/{api_id}",
    status_code=204,
    responses=error_responses(ApiNotFound, ApiWasPublished, PreconditionFailed),
)
async def remove_api(
    api_id: UUID, caller: Editor, session: Transaction, clock: ClockDep, if_match: IfMatch = None
) -> None:
    """Delete an API that was never public."""
    api = await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
    require_match(if_match, api.version)
    await delete_api(session, api, now=clock.now())


@router.get("/v1/providers/{slug}", responses=error_responses(ProviderNotFound))
async def get_provider(slug: str, _: PublicCaller, session: Transaction) -> ProviderPageOut:
    """A provider that has published something."""
    provider = await organisations.find_by_slug(session, slug)
    published = await apis.count_public(session, slug)
    if provider is None or published == 0:
        raise ProviderNotFound(slug)
    return ProviderPageOut(
        organisation_id=provider.organisation_id, slug=provider.slug, name=provider.name, apis=published
    )


@router.get("/v1/providers/{slug}/apis/{api_slug}", responses=error_responses(ApiNotFound))
async def get_api_by_slugs(
    slug: str, api_slug: str, caller: PublicCaller, session: Transaction, response: Response
) -> ApiOut:
    """One API by the names that stand in its path at the gateway."""
    api = refuse_hidden(await apis.get_by_slugs(session, provider=slug, slug=api_slug), caller)
    response.headers["ETag"] = etag(api.version)
    return ApiOut.of(api, caller)
