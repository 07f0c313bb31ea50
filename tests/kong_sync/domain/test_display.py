"""What an operator reads on the command line."""

from __future__ import annotations

from dataclasses import replace

from kong_sync.domain.diff import diff
from kong_sync.domain.display import Tone, show_changes, show_drift
from kong_sync.domain.drift import Drift, DriftKind
from kong_sync.domain.entities import Kind
from tests.kong_sync.factories import a_key, an_api, as_kong_returns, of_kind, wanted


def test_changes_stand_under_their_owner_with_old_and_new_values() -> None:
    entities = wanted()
    (service,) = of_kind(entities, Kind.SERVICE, "api")
    (acl,) = of_kind(entities, Kind.ACL, "subscription")
    slower = replace(service, fields={**service.fields, "read_timeout": 1})
    present = [as_kong_returns(slower if e is service else e) for e in entities if e is not acl]
    lines = list(show_changes(diff(entities, present)))
    assert [line.tone for line in lines] == [
        Tone.HEADING,
        Tone.CHANGED,
        Tone.CHANGED,
        Tone.HEADING,
        Tone.ADDED,
    ]
    heading, update, field, other, access = (line.text for line in lines)
    assert heading == f"api {an_api().id} ({service.label})"
    assert update == f"  ~ services {service.label} {service.id}"
    assert field == "      read_timeout: 1 -> 60000"
    assert other.startswith("subscription ")
    assert access == f"  + acls {acl.label} {acl.id}"


def test_no_line_holds_a_digest() -> None:
    digest = a_key().sha256
    changes = diff(wanted(), [])
    moved = [replace(e, fields={**e.fields, "key": "f" * 64}) if "key" in e.fields else e for e in wanted()]
    changes += diff(wanted(), [as_kong_returns(e) for e in moved])
    drifted = [Drift(DriftKind.MISSING, e) for e in wanted()]
    text = "\n".join(line.text for line in [*show_changes(changes), *show_drift(drifted)])
    assert digest not in text
    assert "f" * 64 not in text
    assert f"key: ffffff… -> {digest[:6]}…" in text


def test_what_is_withheld_says_so() -> None:
    lines = list(show_changes(diff([], wanted()), withheld=True))
    assert {line.tone for line in lines} == {Tone.HEADING, Tone.WITHHELD}
    assert all(line.text.endswith("withheld") for line in lines if line.tone is Tone.WITHHELD)


def test_drift_names_what_became_of_each() -> None:
    (service,) = of_kind(wanted(), Kind.SERVICE, "api")
    (line,) = [line for line in show_drift([Drift(DriftKind.FOREIGN, service)]) if line.tone is Tone.FOREIGN]
    assert line.text == f"  ? services {service.label} {service.id}  foreign"
