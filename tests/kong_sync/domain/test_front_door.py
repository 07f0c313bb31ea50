"""The platform's own routes, from decK's format to single entities."""

from __future__ import annotations

from typing import Any

import pytest

from kong_sync.domain.entities import MANAGED_TAG, Kind
from kong_sync.domain.errors import FrontDoorInvalid
from kong_sync.domain.front_door import adopt_front_door, front_door_entities

DOOR: dict[str, Any] = {
    "_format_version": "3.0",
    "_info": {"select_tags": ["door"]},
    "services": [
        {
            "id": "s", "name": "platform.x", "url": "http://x:81/",
            "routes": [{"id": "r", "name": "platform.x", "paths": ["/platform/x/"]}],
            "plugins": [{"id": "p", "name": "cors", "config": {"max_age": 1}}],
        }
    ],
}  # fmt: skip


def test_nested_entities_become_single_ones_with_the_tag() -> None:
    service, route, plugin = front_door_entities(DOOR)
    assert service.fields == {
        "name": "platform.x",
        "protocol": "http",
        "host": "x",
        "port": 81,
        "path": None,
        "tags": ["door"],
    }
    assert (route.kind, route.fields["service"], route.tags) == (Kind.ROUTE, {"id": "s"}, ("door",))
    assert (plugin.kind, plugin.id, plugin.fields["config"]) == (Kind.PLUGIN, "p", {"max_age": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"_format_version": "1.1"},
        {"_info": {}},
        {"_info": {"select_tags": [MANAGED_TAG]}},
        {"consumers": []},
        {"services": [{"name": "no-id", "url": "http://x"}]},
    ],
)
def test_what_is_no_front_door_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FrontDoorInvalid):
        front_door_entities(DOOR | change)


def test_what_kong_sync_made_is_never_taken_for_the_front_door() -> None:
    ours, theirs = {"id": "1", "tags": ["door"]}, {"id": "2", "tags": ["door", MANAGED_TAG]}
    found = adopt_front_door(["door"], {Kind.SERVICE: [ours, theirs, {"id": "3", "tags": ["other"]}]})
    assert [entity.id for entity in found] == ["1"]
