"""Which cluster this is, and its topics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

MESSAGE_BYTES = 4 * 1024 * 1024
_PARTITIONS = 4
_CHECK_SECONDS = 1.0


class BrokerReplaced(Exception):
    """The broker at this address is another cluster than before: its log begins anew."""


class ClusterWatch:
    """Knows the cluster's id and notices when another one answers at the same address."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000)
        self._checked_at = float("-inf")
        self.id = ""

    async def __aenter__(self) -> Self:
        await self._admin.start()
        self.id = await self._cluster_id()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._admin.close()

    @property
    def due(self) -> bool:
        """True at most once a second: it is time to look at the cluster again."""
        if time.monotonic() - self._checked_at < _CHECK_SECONDS:
            return False
        self._checked_at = time.monotonic()
        return True

    async def _cluster_id(self) -> str:
        described = await asyncio.wait_for(self._admin.describe_cluster(), 10)
        return str(described["cluster_id"])

    async def check(self) -> None:
        """BrokerReplaced when the cluster's id changed."""
        found = await self._cluster_id()
        if found != self.id:
            raise BrokerReplaced(f"cluster {self.id} was replaced by {found}")

    async def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """The partitions of those of `topics` that exist by now, in order."""
        existing = sorted(set(topics) & set(await self._admin.list_topics()))
        described = await self._admin.describe_topics(existing) if existing else []
        return sorted(
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        )


async def ensure_topics(
    bootstrap_servers: str, topics: Iterable[str], *, partitions: int = _PARTITIONS, compacted: bool = True,
    extra: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """The topics exist; those that were not there have `partitions` partitions, take messages of 4 MiB, and have
    the settings in `extra`.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000)
    await admin.start()
    try:
        missing = set(topics) - set(await admin.list_topics())
        configs = {
            "max.message.bytes": str(MESSAGE_BYTES),
            "cleanup.policy": "compact" if compacted else "delete",
            **(extra or {}),
        }
        for topic in sorted(missing):
            # -1: the broker's default; the client takes that only together with an (empty) assignment.
            new = NewTopic(topic, partitions, -1, replica_assignments={}, topic_configs=configs)
            answer = await admin.create_topics([new])
            for name, code, *_ in answer.topic_errors:
                if code not in (0, TopicAlreadyExistsError.errno):  # another replica may be faster
                    raise for_code(code)(f"topic {name} cannot be made")
    finally:
        await admin.close()
