"""A real Apache Kafka in place of the embedded broker, where Java and Maven are at hand."""

from __future__ import annotations

from pathlib import Path

from devstack import kafka_apache
from devstack.stack.config import Config, base_environment
from devstack.stack.programs import Program


def apache_broker(config: Config) -> Program:
    """The broker as one of the stack's programs; RuntimeError says what is missing. Fetches it the first time."""
    cache = Path.home() / ".cache" / "marketplace"
    reason = kafka_apache.available(cache)
    if reason is not None:
        raise RuntimeError(f"Apache Kafka cannot run here: {reason}")
    kafka_apache.prepare(cache)
    port = config.ports["kafka"]
    command = kafka_apache.command(
        cache,
        config.layout.data / "apache-kafka",
        port=port,
        controller_port=config.ports["kafka_controller"],
    )
    return Program("kafka", lambda: command, base_environment(), port)
