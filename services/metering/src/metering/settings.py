"""Settings, prefix METERING_."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, FilePath, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from common.settings import ServiceSettings
from metering.clients.kafka_log import KafkaLog
from metering.domain.lateness import LATEST_ARRIVAL


class Settings(ServiceSettings):
    """What metering needs beside what every service needs."""

    model_config = SettingsConfigDict(env_prefix="METERING_", frozen=True)

    ingest_token: SecretStr = Field(
        min_length=16, description="What Kong's http-log sends as X-Ingest-Token."
    )
    namespace: str = Field(
        default="marketplace", description="Entries tagged ns:<this> are ours; as in kong-sync."
    )
    partitions: int = Field(default=4, ge=1, description="Of the request log topic, when it is made.")
    body_limit_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1024, description="Of one POST, packed and unpacked."
    )
    pending_limit_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        description="Bodies waiting for Kafka; beyond it ingest answers 503.",
    )
    ack_timeout_seconds: float = Field(
        default=10.0, gt=0, description="How long ingest waits for Kafka before a 503."
    )
    grace_seconds: float = Field(
        default=3600.0, ge=0, description="How long after a cut-off late calls are waited for."
    )
    batch_calls: int = Field(
        default=40_000, ge=1, description="At most so many calls in one transaction, about."
    )
    fast_reader: bool | None = Field(
        default=None,
        description="Read by the compiled reader: true, or the worker does not start; false: never. By default where it"
        " was built.",
    )
    batch_seconds: float = Field(default=0.25, gt=0, description="At most so long a batch is gathered.")
    publish_seconds: float = Field(default=1.0, gt=0, description="How often changed usage is published.")
    fold_seconds: float = Field(
        default=2.0, gt=0, description="How often what batches wrote down is added up, to be published."
    )
    reconcile_hour: int = Field(
        default=3, ge=0, le=23, description="From this hour (UTC) on the rollups are reconciled, once a day."
    )
    statistics_seconds: float = Field(
        default=300.0, gt=0, description="An API's changed statistics are published after so long, as one."
    )
    alert_seconds: float = Field(default=5.0, gt=0, description="How often due alert rules are looked at.")
    streams: int = Field(
        default=20, ge=1, description="Exports and live streams that one process gives at a time."
    )
    gateway_metrics_urls: str = Field(
        default="", description="`/metrics` of every node of the gateway, separated by commas."
    )
    gateway_read_seconds: float = Field(
        default=15.0, gt=0, description="How often the gateway's counters are read."
    )
    completeness_bound_percent: Decimal = Field(
        default=Decimal("99.9"), ge=0, le=100, description="Below it an invoice is held."
    )
    completeness_wait_seconds: float = Field(
        default=900.0, ge=0, description="How long a cut-off's answer waits for it to be known."
    )
    completeness_unknown: Literal["go", "hold"] = Field(
        default="go", description="What a cut-off's answer does when it is not known after that time."
    )
    file_log_wait_seconds: float = Field(
        default=900.0, ge=0, description="How long a cut-off's answer waits for log files to be read past it."
    )
    file_log_path: Path | None = Field(
        default=None, description="Kong's file-log on this machine, to be followed."
    )
    raw_retention_days: int = Field(
        default=90, description="A month of raw rows is dropped so long after its end; the rollups stay."
    )
    dispute_days: int = Field(
        default=60, ge=0, description="So long after a month's end its invoice may be disputed, call by call."
    )
    client_net_days: int = Field(
        default=30, ge=2, description="So long a call bears its client's network (/24 or /48)."
    )
    geoip_path: FilePath | None = Field(
        default=None,
        description="A MaxMind file (mmdb) with countries; read at the start. None: no countries.",
    )

    @model_validator(mode="after")
    def _raw_rows_outlive_their_uses(self) -> Self:
        if self.raw_retention_days < self.dispute_days:
            raise ValueError(
                "raw_retention_days must not be less than dispute_days: a dispute needs the calls"
            )
        if self.raw_retention_days <= LATEST_ARRIVAL.days:
            raise ValueError(
                f"raw_retention_days must be above {LATEST_ARRIVAL.days}: repeats of younger calls are told by rows"
            )
        return self

    @property
    def gateway_nodes(self) -> tuple[str, ...]:
        """The URLs one by one."""
        return tuple(url.strip() for url in self.gateway_metrics_urls.split(",") if url.strip())


def kafka_log_of(settings: Settings) -> KafkaLog:
    """The request log topic, as `settings` name it."""
    return KafkaLog(
        bootstrap_servers=settings.kafka_bootstrap_servers, topic_prefix=settings.kafka_topic_prefix,
        partitions=settings.partitions, ack_timeout_seconds=settings.ack_timeout_seconds,
        pending_limit_bytes=settings.pending_limit_bytes,
    )  # fmt: skip
