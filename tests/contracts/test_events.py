"""What one service publishes, the others can read."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from common.events import Event, Incoming
from docs.generate import consumed, published, service_of
from tests.architecture.repository import SERVICES, tree_of

PUBLISHED, CONSUMED = published(), consumed()
# Topics that are read although no service owns them, each with the reason. Ends empty.
WITHOUT_OWNER: dict[str, str] = {}
TOPICS = {
    "accounts.organisation.v1", "catalog.api.v1", "catalog.version.v1", "catalog.plan.v1",
    "subscriptions.subscription.v1", "subscriptions.key.v1", "metering.usage.v1",
    "metering.completeness.v1", "metering.period.v1", "metering.adjustment.v1", "metering.quota.v1",
    "metering.alert.v1", "metering.key.v1", "metering.api.v1", "billing.spend.v1",
    "billing.account.v1", "billing.invoice.v1", "billing.cutoff.v1",
    "billing.standing.v1", "kong-sync.api.v1", "kong-sync.subscription.v1",
}  # fmt: skip


def name_of(model: type[Any]) -> str:
    return f"{service_of(model)}.{model.__name__}"


def pairs() -> list[Any]:
    """Every reader of every event."""
    return [
        pytest.param(event, reader, id=f"{name_of(event)} to {name_of(reader)}")
        for event in PUBLISHED
        for reader in CONSUMED
        if reader.topic == event.topic
    ]


@pytest.mark.parametrize(("event", "reader"), pairs())
def test_a_reader_takes_what_the_owner_publishes(event: type[Event], reader: type[Incoming]) -> None:
    example = event.example()
    read = reader.model_validate_json(example.model_dump_json(by_alias=True))
    assert read.version == example.version


def alternatives(annotation: Any) -> Iterator[Any]:
    """Values that a field may hold where its type names them: null, members of an enumeration, literals."""
    if annotation is type(None):
        yield None
    elif isinstance(annotation, type) and hasattr(annotation, "__members__"):
        yield from (member.value for member in annotation.__members__.values())
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        elif part is not annotation:
            yield from alternatives(part)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def variants(model: type[BaseModel], data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """`data` again and again, each time with one field, at whatever depth, at another of its named values."""
    for name, field in model.model_fields.items():
        key = field.serialization_alias or field.alias or name
        value = data.get(key)
        for other in alternatives(field.annotation):
            yield data | {key: other}
        for inner in models_in(field.annotation):
            if isinstance(value, dict):
                yield from (data | {key: changed} for changed in variants(inner, value))
            elif isinstance(value, list):
                for place, item in enumerate(value):
                    for changed in variants(inner, item):
                        yield data | {key: [*value[:place], changed, *value[place + 1 :]]}


def valid(event: type[Event], data: dict[str, Any]) -> bool:
    try:
        event.model_validate_json(json.dumps(data))
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("event", "reader"), pairs())
def test_a_reader_takes_every_state_that_the_owner_may_publish(
    event: type[Event], reader: type[Incoming]
) -> None:
    example = json.loads(event.example().model_dump_json(by_alias=True))
    for data in variants(event, example):
        if valid(event, data):
            reader.model_validate_json(json.dumps(data))


def test_a_reader_that_does_not_know_a_state_is_seen() -> None:
    class Narrow(BaseModel):
        status: str

    changed = next(event for event in PUBLISHED if event.topic == "subscriptions.key.v1")
    example = json.loads(changed.example().model_dump_json(by_alias=True))
    found = [data for data in variants(changed, example) if valid(changed, data)]
    assert {data["status"] for data in found} >= {"active", "expiring", "expired", "revoked"}
    assert any(data["expires_at"] is None for data in found)


@pytest.mark.parametrize("event", PUBLISHED, ids=name_of)
def test_an_example_is_whole_and_survives_the_journey(event: type[Event]) -> None:
    example = event.example()
    sent = example.model_dump_json(by_alias=True)
    assert event.model_validate_json(sent) == example
    assert event.model_validate_json(sent).event_id == example.event_id
    assert example.key
    assert example == event.example()  # the pages in docs show it, so it must not change from run to run
    assert set(event.model_fields) == example.model_fields_set, "an example sets every field"


@pytest.mark.parametrize("event", PUBLISHED, ids=name_of)
def test_a_topic_is_named_after_its_owner(event: type[Event]) -> None:
    owner, aggregate, version = event.topic.split(".")
    assert owner == service_of(event).replace("_", "-")
    assert (aggregate.isidentifier(), version) == (True, "v1")


def test_a_topic_has_one_owner_and_one_kind_of_event() -> None:
    assert sorted(event.topic for event in PUBLISHED) == sorted(TOPICS)


def test_every_topic_that_is_read_is_published_by_somebody() -> None:
    orphans = {reader.topic for reader in CONSUMED} - {event.topic for event in PUBLISHED}
    assert orphans == set(WITHOUT_OWNER)


@pytest.mark.parametrize("reader", CONSUMED, ids=name_of)
def test_a_reader_ignores_fields_that_are_added_later(reader: type[Incoming]) -> None:
    assert reader.model_config.get("extra") == "ignore"


def test_a_reader_that_needs_more_than_is_published_is_seen() -> None:
    class Greedy(Incoming):
        nobody_publishes_this: str

    for event in PUBLISHED:
        with pytest.raises(ValidationError, match="nobody_publishes_this"):
            Greedy.model_validate_json(event.example().model_dump_json())


def test_no_service_reads_its_own_events() -> None:
    owners = {event.topic: service_of(event) for event in PUBLISHED}
    assert [name_of(reader) for reader in CONSUMED if owners.get(reader.topic) == service_of(reader)] == []


def subscribed(worker: ast.Module) -> dict[str, str]:
    """The model and the handler of each `Subscription(model, handler)` in a worker."""
    calls = (node for node in ast.walk(worker) if isinstance(node, ast.Call))
    names = (
        [ast.unparse(argument).rsplit(".", 1)[-1] for argument in call.args]
        for call in calls
        if ast.unparse(call.func).endswith("Subscription")
    )
    return {found[0]: found[1] for found in names if len(found) == 2}


@pytest.mark.parametrize("service", SERVICES)
def test_every_reader_is_at_work(service: str) -> None:
    found = subscribed(tree_of(SERVICES[service] / "worker.py"))
    readers = {reader.__name__: reader for reader in CONSUMED if service_of(reader) == service}
    assert found.keys() == readers.keys()
    for name, handler in found.items():
        module = inspect.getmodule(readers[name])
        assert inspect.iscoroutinefunction(getattr(module, handler, None)), f"{handler} is not beside {name}"


def test_a_reader_that_nobody_started_is_seen() -> None:
    assert subscribed(ast.parse("x = [Subscription(usage.UsageEvent, usage.on_usage)]")) == {
        "UsageEvent": "on_usage"
    }
    assert subscribed(ast.parse("x = [UsageEvent]")) == {}
