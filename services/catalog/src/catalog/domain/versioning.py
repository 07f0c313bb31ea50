"""Versions and their endpoints: what is latest, and which endpoints calls can be matched to."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from catalog.domain.api import ApiVersion, Endpoint, VersionState
from catalog.domain.openapi.operations import matched_path, template_shape


def no_longer_latest(version: ApiVersion) -> ApiVersion:
    """The version after a newer one took its place."""
    return replace(version, is_latest=False, version=version.version + 1)


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
