"""Versions of an API, their documents and endpoints."""

import asyncio
import time
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from catalog.api.access import visible_api
from catalog.api.bodies import (
    EndpointOut,
    EndpointPage,
    ImportOut,
    VersionCreate,
    VersionOut,
    VersionsOut,
    VersionUpdate,
    WarningOut,
    is_own,
)
from catalog.api.rules import RulesDep
from catalog.db import apis, documents, versions
from catalog.domain.api import ApiVersion
from catalog.domain.errors import (
    ApiIsFrozen,
    ApiNotFound,
    BadLifecycle,
    BadSlug,
    BadUpstream,
    DocumentInvalid,
    DocumentNotFound,
    DocumentTooComplex,
    DocumentTooLarge,
    DocumentUnreadable,
    DocumentVersionUnsupported,
    ExternalReference,
    NoOperations,
    VersionExists,
    VersionNotFound,
)
from catalog.domain.naming import checked_version
from catalog.domain.openapi.document import Document, read_document
from catalog.domain.openapi.limits import Limits
from catalog.metrics import DOCUMENT_SECONDS, DOCUMENTS
from catalog.usecases.create_version import create_version
from catalog.usecases.edit_version import edit_version
from catalog.usecases.import_openapi import import_openapi
from common.errors import DomainError, PreconditionFailed
from common.http.auth import Editor, PublicCaller
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.etag import IfMatch, etag, require_match
from common.http.idempotency import Idempotency
from common.http.transaction import DatabaseDep, Transaction
from common.ids import new_id
from common.pagination import Cursor, Limit, encode_cursor, number_after

router = APIRouter(tags=["versions"])
_DOCUMENT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "object"}} for kind in ("application/json", "application/yaml")
        },
    }
}


@router.get("/v1/apis/{api_id}/versions", responses=error_responses(ApiNotFound))
async def list_versions(
    api_id: UUID, caller: PublicCaller, session: Transaction, clock: ClockDep
) -> VersionsOut:
    """Every version of an API, the newest first."""
    api = await visible_api(session, api_id, caller)
    found = await versions.list_of_api(session, api.id)
    own, now = is_own(api, caller), clock.now()
    return VersionsOut(items=[VersionOut.of(version, own=own, now=now) for version in found])


@router.post(
    "/v1/apis/{api_id}/versions",
    status_code=201,
    response_model=VersionOut,
    responses=error_responses(ApiNotFound, ApiIsFrozen, VersionExists, BadSlug, BadUpstream),
)
async def add_version(
    *, api_id: UUID, body: VersionCreate, caller: Editor, session: Transaction, clock: ClockDep, rules: RulesDep,
    idempotency: Idempotency,
) -> Response:  # fmt: skip
    """Add a version; it becomes the latest."""
    if replayed := await idempotency.replay():
        return replayed
    now = clock.now()
    api = await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
    new = ApiVersion(
        id=new_id(), version=1, api_id=api.id, provider_organisation_id=api.provider_organisation_id,
        created_at=now, **body.model_dump(),
    )  # fmt: skip
    created = await create_version(session, api, new, allow_loopback=rules.allow_loopback, now=now)
    return await idempotency.answer(201, VersionOut.of(created, own=True, now=now))


@router.patch(
    "/v1/apis/{api_id}/versions/{version}",
    responses=error_responses(ApiNotFound, VersionNotFound, ApiIsFrozen, BadLifecycle, PreconditionFailed),
)
async def update_version(
    *, api_id: UUID, version: str, body: VersionUpdate, caller: Editor, session: Transaction, clock: ClockDep,
    response: Response, if_match: IfMatch = None,
) -> VersionOut:  # fmt: skip
    """Change a version. From `sunset_at` on the gateway answers 410; before it, every answer names both dates."""
    api = await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
    found = await versions.get(session, api.id, version)
    require_match(if_match, found.version)
    now = clock.now()
    edited = await edit_version(session, api, found, body.model_dump(exclude_unset=True), now=now)
    response.headers["ETag"] = etag(edited.version)
    return VersionOut.of(edited, own=True, now=now)


@router.put(
    "/v1/apis/{api_id}/versions/{version}/openapi",
    openapi_extra=_DOCUMENT_BODY,
    responses=error_responses(
        ApiNotFound, ApiIsFrozen, DocumentTooLarge, DocumentUnreadable, DocumentTooComplex, DocumentInvalid,
        DocumentVersionUnsupported, ExternalReference, NoOperations, BadSlug,
    ),
)  # fmt: skip
async def put_openapi(
    *,
    api_id: UUID,
    version: str,
    request: Request,
    caller: Editor,
    db: DatabaseDep,
    clock: ClockDep,
    rules: RulesDep,
) -> ImportOut:
    """Take an OpenAPI 3.0 or 3.1 document (JSON or YAML) in; the version is made if it is not there yet."""
    checked_version(version)
    async with db.begin(caller.scope) as session:  # before a large body is read for nothing
        await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
    raw = await _read_body(request, rules.document_limits)
    document = await _read_document(raw, request.headers.get("content-type", ""), rules.document_limits)
    async with db.begin(caller.scope) as session:
        api = await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
        await import_openapi(session, api, document, version_name=version, now=clock.now())
    return ImportOut(
        version=version,
        operations=len(document.operations),
        openapi=document.openapi,
        title=document.title,
        warnings=[WarningOut.model_validate(warning) for warning in document.warnings],
    )


async def _read_body(request: Request, limits: Limits) -> bytes:
    """The body, no more of it in memory than is allowed."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limits.max_bytes:
            DOCUMENTS.labels("refused").inc()
            raise DocumentTooLarge(limits.max_bytes)
    return bytes(raw)


async def _read_document(raw: bytes, content_type: str, limits: Limits) -> Document:
    """The document, read beside the event loop: a large one takes a good part of a second."""
    started = time.perf_counter()
    try:
        document = await asyncio.to_thread(read_document, raw, content_type=content_type, limits=limits)
    except DomainError:
        DOCUMENTS.labels("refused").inc()
        raise
    DOCUMENT_SECONDS.observe(time.perf_counter() - started)
    DOCUMENTS.labels("taken").inc()
    return document


@router.get(
    "/v1/apis/{api_id}/versions/{version}/openapi",
    response_class=Response,
    responses=error_responses(ApiNotFound, VersionNotFound, DocumentNotFound)
    | {200: {"content": {"application/json": {}}}},
)
async def get_openapi(api_id: UUID, version: str, caller: PublicCaller, session: Transaction) -> Response:
    """The version's OpenAPI document, as JSON."""
    api = await visible_api(session, api_id, caller)
    content, digest = await documents.get_content(session, await versions.get(session, api.id, version))
    return Response(content, media_type="application/json", headers={"ETag": f'"{digest[:32]}"'})


@router.get(
    "/v1/apis/{api_id}/versions/{version}/endpoints", responses=error_responses(ApiNotFound, VersionNotFound)
)
async def list_endpoints(
    *,
    api_id: UUID,
    version: str,
    caller: PublicCaller,
    session: Transaction,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> EndpointPage:
    """What can be called, in the document's order."""
    api = await visible_api(session, api_id, caller)
    found = await versions.get(session, api.id, version)
    after = number_after(cursor)
    page = await documents.list_endpoints(session, found.id, after=after, limit=limit + 1)
    more = encode_cursor(page[limit - 1][0]) if len(page) > limit else None
    return EndpointPage(items=[EndpointOut.of(endpoint) for _, endpoint in page[:limit]], next_cursor=more)
