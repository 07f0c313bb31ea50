"""Bodies that several routers share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, StringConstraints

from accounts.domain.membership import Role
from accounts.domain.organisation import OrganisationStatus

Name = Annotated[str, StringConstraints(min_length=2, max_length=100, strip_whitespace=True)]


def _web_address(url: str) -> str:
    return str(HttpUrl(url))


Website = Annotated[str, StringConstraints(max_length=500), AfterValidator(_web_address)]


class OrganisationOut(BaseModel):
    """An organisation."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    slug: str
    name: str
    website: str | None
    description: str | None
    status: OrganisationStatus
    version: int
    created_at: datetime
    updated_at: datetime


class OrganisationPage(BaseModel):
    """Some organisations, in id order."""

    items: list[OrganisationOut]
    next_cursor: str | None


class MemberOut(BaseModel):
    """A person in an organisation."""

    user_id: UUID
    role: Role
    email: str | None = Field(description="As the identity provider gave it.")
    name: str | None
    since: datetime


class AuditEntryOut(BaseModel):
    """One deed."""

    id: UUID
    at: datetime
    actor_user_id: UUID
    network: str | None
    organisation_id: UUID | None
    action: str
    target_id: UUID
    before: dict[str, str | None]
    after: dict[str, str | None]


class AuditPage(BaseModel):
    """Some deeds, the newest first."""

    items: list[AuditEntryOut]
    next_cursor: str | None
