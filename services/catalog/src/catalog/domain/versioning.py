"""Versions and their endpoints: what is latest, and which endpoints calls can be matched to."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from catalog.domain.api import ApiVersion, Endpoint, VersionState
from catalog.domain.errors import BadLifecycle
from catalog.domain.openapi.operations import matched_path, template_shape


def no_longer_latest(version: ApiVersion) -> ApiVersion:
    """The version after a newer one took its place."""
    return replace(version, is_latest=False, version=version.version + 1)


def state_at(version: ApiVersion, now: datetime) -> VersionState:
    """Where the version stands by its dates; one that was withdrawn stays so."""
    if version.state is VersionState.SUNSET and version.sunset_at is None:
        return VersionState.SUNSET
    if version.sunset_at is not None and version.sunset_at <= now:
        return VersionState.SUNSET
    return VersionState.DEPRECATED if version.deprecated_at is not None else VersionState.ACTIVE


def scheduled(
    version: ApiVersion, *, deprecated_at: datetime | None, sunset_at: datetime | None, now: datetime
) -> ApiVersion:
    """The version with these dates, which may lie ahead. What is to be switched off is deprecated from now on."""
    if sunset_at is not None and deprecated_at is None:
        deprecated_at = min(now, sunset_at)
    if sunset_at is not None and deprecated_at is not None and sunset_at < deprecated_at:
        raise BadLifecycle(
            "A version is not switched off before it is deprecated (RFC 9745).", field="sunset_at"
        )
    dated = replace(version, deprecated_at=deprecated_at, sunset_at=sunset_at, state=VersionState.ACTIVE)
    return replace(dated, state=state_at(dated, now))


def withdrawn(version: ApiVersion) -> ApiVersion:
    """The version of an API that is deleted: the last that others hear of it."""
    return replace(version, state=VersionState.SUNSET, is_latest=False, version=version.version + 1)


def matched_endpoints(endpoints: Iterable[Endpoint]) -> Iterator[tuple[str, Endpoint]]:
    """(path template, endpoint) of each endpoint that a call can be matched to.

    Some documents tell operations apart behind `#` or `?`; a call shows neither, so the first of each shape counts.
    """
    seen: set[tuple[str, str]] = set()
    for endpoint in endpoints:
        shape = (endpoint.method, template_shape(endpoint.path))
        if shape not in seen:
            seen.add(shape)
            yield matched_path(endpoint.path), endpoint
