"""Write docs/events.md and docs/metrics.md from the code: `make docs`. A test compares them with what is committed."""

from __future__ import annotations

import importlib
import json
import pkgutil
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from common.events import Event, Incoming

DOCS = Path(__file__).resolve().parent
SERVICES = ("accounts", "catalog", "subscriptions", "metering", "billing", "kong_sync")
GENERATED = "<!-- Made by `make docs`; change the code instead. -->"
EVENTS_HEAD = """# Events

CloudEvents 1.0 in Kafka's binary content mode: the attributes are headers (`ce_id`, `ce_type`, `ce_source`,
`ce_subject`, `ce_time`), the data is the JSON value. Each topic has one owner, is keyed by the aggregate's id and is
compacted. An event carries the whole aggregate and its `version`; a reader applies only higher versions and ignores
fields that it does not know. `ce_id` is derived from topic, key and version, so that a re-send is known as one.

One topic carries no event: `gateway.requests.v1`, on which metering's ingest puts what the gateway's http-log posted
(one record for each POST and partition, a JSON array of log entries; headers `batch` and `count`; no key, the partition
follows from the subscription) for metering's own worker to read."""
METRICS_HEAD = """# Metrics

Every service answers `GET /metrics` in Prometheus' text format. Units are base units and stand in the name; labels come
from small closed sets. Those of `common` are measured in every service."""


def modules(package: str) -> Iterator[ModuleType]:
    """The modules right below `package`, imported."""
    folder = importlib.import_module(package)
    for found in sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name):
        yield importlib.import_module(f"{package}.{found.name}")


def service_of(model: type) -> str:
    """The import name of the service that defines `model`."""
    return model.__module__.split(".", 1)[0]


def published() -> list[type[Event]]:
    """Every event of the six services, by topic."""
    for service in SERVICES:
        list(modules(f"{service}.events"))
    return sorted((e for e in Event.published if service_of(e) in SERVICES), key=lambda e: e.topic)


def consumed() -> list[type[Incoming]]:
    """Every model by which one of the six services reads an event, by topic and reader."""
    for service in SERVICES:
        list(modules(f"{service}.consumers"))
    ours = (i for i in Incoming.consumed if service_of(i) in SERVICES)
    return sorted(ours, key=lambda i: (i.topic, i.__module__))


def type_text(annotation: Any) -> str:
    """A field's type as a reader of JSON needs it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is None or annotation is NoneType:
        return "null"
    if origin in (typing.Union, UnionType):
        return " or ".join(type_text(a) for a in arguments)
    if origin is typing.Annotated:
        return type_text(arguments[0])
    if origin is typing.Literal:
        return " or ".join(json.dumps(a) for a in arguments)
    if origin in (list, tuple, set, frozenset) or getattr(origin, "__name__", "") == "Sequence":
        return f"list of {type_text(arguments[0])}"
    if origin is not None:
        return "object"
    return simple_type_text(annotation)


def simple_type_text(annotation: Any) -> str:
    """The same for a type without parameters."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    members = getattr(annotation, "__members__", None)
    if members:
        return " or ".join(json.dumps(member.value) for member in members.values())
    supertype = getattr(annotation, "__supertype__", None)
    if supertype is not None:
        return type_text(supertype)
    names = {
        "str": "text",
        "int": "number",
        "bool": "true or false",
        "datetime": "time",
        "Decimal": "decimal text",
    }
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, name.lower())


def field_lines(model: type[BaseModel]) -> Iterator[str]:
    """A row for each field."""
    for name, field in model.model_fields.items():
        shown = field.serialization_alias or field.alias or name
        yield f"| `{shown}` | {field_type(field)} | {field.description or ''} |"


def field_type(field: FieldInfo) -> str:
    """A field's type, safe inside a table."""
    return type_text(field.annotation).replace("|", "\\|")


def event_section(event: type[Event], readers: Iterable[type[Incoming]]) -> Iterator[str]:
    """What is to be known of one event."""
    read_by = ", ".join(sorted({service_of(r).replace("_", "-") for r in readers if r.topic == event.topic}))
    example = json.dumps(
        json.loads(event.example().model_dump_json(by_alias=True)), indent=2, ensure_ascii=False
    )
    yield f"## `{event.topic}`"
    yield " ".join((event.__doc__ or "").split("\n\n", 1)[0].split())
    yield (
        f"- type `{event.event_type}`, owner {service_of(event).replace('_', '-')}, key `{event.example().key}` "
        f"in the example\n- read by {read_by or 'nobody yet'}"
    )
    yield "\n".join(["| field | type | |", "|---|---|---|", *field_lines(event)])
    yield f"```json\n{example}\n```"


def events_page() -> str:
    """The text of docs/events.md."""
    readers = consumed()
    sections = [part for event in published() for part in event_section(event, readers)]
    return "\n\n".join([EVENTS_HEAD, GENERATED, *sections]) + "\n"


def metrics_of(module: str) -> list[MetricWrapperBase]:
    """The metrics that `module` defines, by name."""
    found = vars(importlib.import_module(module)).values()
    return sorted((m for m in found if isinstance(m, MetricWrapperBase)), key=metric_name)


def metric_name(metric: MetricWrapperBase) -> str:
    """The name under which it is scraped."""
    name: str = metric._name  # there is no public way to ask a metric
    return f"{name}_total" if metric._type == "counter" else name


def metric_line(service: str, metric: MetricWrapperBase) -> str:
    """One row of the table."""
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    kind, text = metric._type, metric._documentation
    return f"| `{metric_name(metric)}` | {kind} | {labels} | {text} | {service} |"


def metrics_page() -> str:
    """The text of docs/metrics.md."""
    rows = [metric_line("common", metric) for metric in metrics_of("common.metrics")]
    for service in SERVICES:
        shown = service.replace("_", "-")
        rows += [metric_line(shown, metric) for metric in metrics_of(f"{service}.metrics")]
    table = "\n".join(["| name | type | labels | | service |", "|---|---|---|---|---|", *rows])
    return "\n\n".join([METRICS_HEAD, GENERATED, table]) + "\n"


def main() -> None:
    """Both files are up to date."""
    (DOCS / "events.md").write_text(events_page(), encoding="utf-8")
    (DOCS / "metrics.md").write_text(metrics_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
