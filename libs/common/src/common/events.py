"""Events as CloudEvents 1.0 in Kafka's binary content mode: attributes in headers, data as the JSON value."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PositiveInt

from common.ids import derived_id


class Event(BaseModel):
    """A fact that this service publishes: the whole aggregate as it now stands, and its version.

    Fields are added, never changed. `key` names the attribute that keys the topic, so that compaction keeps one
    record per aggregate.
    """

    model_config = ConfigDict(frozen=True)
    topic: ClassVar[str]
    event_type: ClassVar[str]
    key_attribute: ClassVar[str]
    published: ClassVar[list[type[Event]]] = []

    version: PositiveInt

    def __init_subclass__(cls, *, topic: str = "", type: str = "", key: str = "", **kwargs: Any) -> None:  # noqa: A002
        super().__init_subclass__(**kwargs)
        if topic:
            cls.topic, cls.event_type, cls.key_attribute = topic, type, key
            Event.published.append(cls)

    @property
    def key(self) -> str:
        """The aggregate's id, as the topic's key."""
        return str(getattr(self, self.key_attribute))

    @property
    def event_id(self) -> UUID:
        """Derived from topic, key and version: a re-send carries the same id."""
        return derived_id(self.topic, self.key, str(self.version))

    @classmethod
    def example(cls) -> Self:
        """A valid event with every field set; contract tests feed it to every consumer."""
        raise NotImplementedError(f"{cls.__name__} has no example")


class Incoming(BaseModel):
    """Another service's event as this service reads it: only the fields it needs, the rest ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    topic: ClassVar[str]
    consumed: ClassVar[list[type[Incoming]]] = []

    version: PositiveInt

    def __init_subclass__(cls, *, topic: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if topic:
            cls.topic = topic
            Incoming.consumed.append(cls)


def headers(event: Event, *, source: str, now: datetime) -> dict[str, str]:
    """The CloudEvents attributes of `event` as Kafka headers."""
    return {
        "ce_specversion": "1.0",
        "ce_id": str(event.event_id),
        "ce_source": f"/marketplace/{source}",
        "ce_type": event.event_type,
        "ce_subject": event.key,
        "ce_time": now.isoformat(),
        "content-type": "application/json",
    }
