from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from catalog.domain.api import ApiVersion, Endpoint, VersionState
from catalog.domain.errors import BadLifecycle
from catalog.domain.versioning import matched_endpoints, no_longer_latest, scheduled, state_at, withdrawn
from tests.catalog.factories import ACME, API_ID
from tests.support.clock import NOON

VERSION = ApiVersion(
    id=UUID(int=1), version=4, api_id=API_ID, provider_organisation_id=ACME, name="v1", created_at=NOON
)


def an_endpoint(number: int, path: str, method: str = "GET") -> Endpoint:
    return Endpoint(id=UUID(int=number), version_id=VERSION.id, method=method, path=path)


def test_a_version_that_gives_its_place_up_is_one_version_further() -> None:
    assert no_longer_latest(VERSION) == replace(VERSION, is_latest=False, version=5)


def test_a_withdrawn_version_is_sunset() -> None:
    assert withdrawn(VERSION).state is VersionState.SUNSET

    assert state_at(withdrawn(VERSION), NOON) is VersionState.SUNSET


def test_a_version_that_is_to_be_switched_off_is_deprecated_until_then() -> None:
    end = NOON + timedelta(days=90)
    going = scheduled(VERSION, deprecated_at=None, sunset_at=end, now=NOON)
    assert (going.deprecated_at, going.state) == (NOON, VersionState.DEPRECATED)
    assert state_at(going, end - timedelta(seconds=1)) is VersionState.DEPRECATED
    assert state_at(going, end) is VersionState.SUNSET
    back = scheduled(going, deprecated_at=None, sunset_at=None, now=NOON)
    assert back == VERSION


def test_nothing_is_switched_off_before_it_is_deprecated() -> None:
    with pytest.raises(BadLifecycle):
        scheduled(VERSION, deprecated_at=NOON, sunset_at=NOON - timedelta(seconds=1), now=NOON)


def test_calls_are_matched_to_the_first_endpoint_of_a_shape() -> None:
    endpoints = [
        an_endpoint(1, "/#X-Target=A"),
        an_endpoint(2, "/#X-Target=B"),
        an_endpoint(3, "/a/{x}"),
        an_endpoint(4, "/a/{y}"),
        an_endpoint(5, "/a/{x}", "PUT"),
        an_endpoint(6, "/b?view=full"),
    ]
    assert [(path, e.id.int) for path, e in matched_endpoints(endpoints)] == [
        ("/", 1),
        ("/a/{x}", 3),
        ("/a/{x}", 5),
        ("/b", 6),
    ]
