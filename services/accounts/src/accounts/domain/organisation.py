"""Organisations: the acting parties of the marketplace, consumers and providers alike."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from accounts.domain.errors import InvalidSlug

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

_SLUG = re.compile(r"[a-z0-9-]{2,50}")

# The slug is the first segment of every proxied path, so these would shadow the platform's own paths.
RESERVED_SLUGS = frozenset({"platform", "admin", "api", "status", "health", "well-known", "v1", "docs"})


class OrganisationStatus(StrEnum):
    """Whether the organisation may act."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation as it now stands; `version` rises by one with every change."""

    id: UUID
    slug: str  # never changes: it stands in the paths that consumers call
    name: str
    website: str | None
    description: str | None
    status: OrganisationStatus
    version: int
    created_at: datetime
    updated_at: datetime


def check_slug(slug: str) -> str:
    """`slug` itself, fit to be the first segment of a proxied path; raises InvalidSlug otherwise."""
    if not _SLUG.fullmatch(slug):
        raise InvalidSlug("has 2 to 50 characters out of a-z, 0-9 and '-'")
    if slug.startswith("-") or slug.endswith("-"):
        raise InvalidSlug("neither begins nor ends with '-'")
    if slug in RESERVED_SLUGS:
        raise InvalidSlug("is reserved for the platform; choose another")
    return slug


def found(organisation_id: UUID, *, slug: str, name: str, at: datetime) -> Organisation:
    """A new, active organisation."""
    return Organisation(
        id=organisation_id, slug=check_slug(slug), name=name, website=None, description=None,
        status=OrganisationStatus.ACTIVE, version=1, created_at=at, updated_at=at,
    )  # fmt: skip


def describe(organisation: Organisation, *, changes: dict[str, str | None], at: datetime) -> Organisation:
    """The organisation with `changes` of name, website or description; itself when they say nothing new."""
    changed = replace(
        organisation,
        name=changes.get("name") or organisation.name,
        website=changes.get("website", organisation.website),
        description=changes.get("description", organisation.description),
    )
    return organisation if changed == organisation else _next(changed, at=at)


def suspend(organisation: Organisation, *, at: datetime) -> Organisation:
    """The organisation, suspended; unchanged if it was."""
    return _with_status(organisation, OrganisationStatus.SUSPENDED, at=at)


def restore(organisation: Organisation, *, at: datetime) -> Organisation:
    """The organisation, active; unchanged if it was."""
    return _with_status(organisation, OrganisationStatus.ACTIVE, at=at)


def _with_status(organisation: Organisation, status: OrganisationStatus, *, at: datetime) -> Organisation:
    if organisation.status is status:
        return organisation
    return _next(replace(organisation, status=status), at=at)


def _next(changed: Organisation, *, at: datetime) -> Organisation:
    return replace(changed, version=changed.version + 1, updated_at=at)
