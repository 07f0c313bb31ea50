"""Taking an OpenAPI document in as what a version of an API is."""

from dataclasses import asdict, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import documents, versions
from catalog.domain.api import Api, ApiVersion, Endpoint
from catalog.domain.openapi.document import Document
from catalog.domain.openapi.operations import Operation
from catalog.domain.publishing import refuse_when_frozen
from catalog.events.version_changed import VersionChanged
from catalog.usecases.create_version import create_version
from common import outbox
from common.ids import new_id


async def import_openapi(
    session: AsyncSession, api: Api, document: Document, *, version_name: str, now: datetime
) -> ApiVersion:
    """The version, made if need be, has this document and the endpoints that it describes.

    The caller has locked the API. An endpoint that stays (same method and path) keeps its id and weight.
    """
    refuse_when_frozen(api.status)
    version = await versions.find(session, api.id, version_name)
    if version is None:
        new = ApiVersion(
            id=new_id(), version=1, api_id=api.id, provider_organisation_id=api.provider_organisation_id,
            name=version_name, created_at=now,
        )  # fmt: skip
        version = await create_version(session, api, new, allow_loopback=False, now=now)
    changed = replace(version, version=version.version + 1, operations=len(document.operations))
    await versions.update_version(session, changed)
    await documents.put(session, changed, document, now=now)
    described = [_endpoint(operation, changed) for operation in document.operations]
    await documents.replace_endpoints(session, changed, described)
    stored = [endpoint for _, endpoint in await documents.list_endpoints(session, changed.id)]
    await outbox.publish(session, VersionChanged.of(changed, stored), now=now)
    return changed


def _endpoint(operation: Operation, version: ApiVersion) -> Endpoint:
    return Endpoint(
        id=new_id(),
        version_id=version.id,
        method=operation.method,
        path=operation.path,
        operation_id=operation.operation_id,
        summary=operation.summary,
        description=operation.description,
        tags=operation.tags,
        deprecated=operation.deprecated,
        parameters=tuple(asdict(parameter) for parameter in operation.parameters),
        request_types=operation.request_types,
        responses=operation.responses,
        scopes=operation.scopes,
    )
