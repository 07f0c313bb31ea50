"""The desired state in decK's format: every entity once, where decK looks for it.

The names below are decK's own: of the file format 3.0 (`_format_version`, `_info.select_tags`, `services`, `consumers`)
and of what it nests in a service (`routes`, `plugins`), a route (`plugins`) and a consumer (`plugins`, `acls`,
`keyauth_credentials`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from kong_sync.domain.deck import deck_file
from kong_sync.domain.entities import MANAGED_TAG, Kind
from tests.kong_sync.factories import SCOPED, a_version, an_edge, some_tables, wanted

NESTED = {
    "services": {"routes", "plugins"},
    "consumers": {"plugins", "acls", "keyauth_credentials"},
}
KINDS = {"acls": Kind.ACL, "keyauth_credentials": Kind.CREDENTIAL}


TABLES = some_tables(versions=[a_version(endpoints=SCOPED)])


def flat(document: dict[str, Any]) -> Iterator[tuple[Kind, str, dict[str, Any]]]:
    """Each entity of the document: its kind, its parent's id, and its own fields."""
    for collection, nests in NESTED.items():
        for root in document[collection]:
            yield Kind(collection), "", {k: v for k, v in root.items() if k not in nests}
            for name in nests & set(root):
                for child in root[name]:
                    yield (
                        KINDS.get(name) or Kind(name),
                        root["id"],
                        {k: v for k, v in child.items() if k != "plugins"},
                    )
                    yield from ((Kind.PLUGIN, child["id"], plugin) for plugin in child.get("plugins", ()))


def test_every_entity_stands_there_once_under_its_parent() -> None:
    entities = wanted(TABLES)
    document = deck_file(an_edge(), entities)
    found = [(kind, fields["id"], parent) for kind, parent, fields in flat(document)]
    assert sorted(found) == sorted((e.kind, e.id, e.parent[1] if e.parent else "") for e in entities)


def test_the_document_holds_what_deck_knows_and_nothing_else() -> None:
    document = deck_file(an_edge(), wanted(TABLES))
    assert list(document) == ["_format_version", "_info", "services", "consumers"]
    assert document["_format_version"] == "3.0"
    assert document["_info"] == {"select_tags": [MANAGED_TAG, "ns:m"]}
    for _, _, fields in flat(document):
        assert not {"service", "route", "consumer", "url"} & set(fields)


def test_each_entity_has_its_fields_and_with_the_select_tags_its_tags() -> None:
    document = deck_file(an_edge(), wanted(TABLES))
    entities = {e.id: e for e in wanted(TABLES)}
    for _, _, fields in flat(document):
        entity = entities[fields["id"]]
        assert [*document["_info"]["select_tags"], *fields["tags"]] == list(entity.tags)
        own = {
            k: v
            for k, v in entity.fields.items()
            if k not in {"service", "route", "consumer", "tags"} and v is not None
        }
        assert {k: v for k, v in fields.items() if k not in {"id", "tags"}} == own


def test_the_order_is_always_the_same() -> None:
    entities = wanted(TABLES)
    shuffled = random.Random(4).sample(entities, len(entities))
    assert deck_file(an_edge(), shuffled) == deck_file(an_edge(), entities)
    names = [service["name"] for service in deck_file(an_edge(), entities)["services"]]
    assert names == sorted(names)
