"""Settings, read once from the environment by main, worker and cli."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict


def variable_names(model: type[BaseSettings], name: str, field: FieldInfo) -> str:
    """The environment variable that sets `field`."""
    if isinstance(field.validation_alias, str):
        return field.validation_alias
    return f"{model.model_config.get('env_prefix', '')}{name}".upper()


class ServiceSettings(BaseSettings):
    """What every service needs. The names here carry no prefix; a service's own ones carry the service's.

    Any variable may instead be given as `<NAME>_FILE`, a path whose content (without the last newline) is the value.
    """

    # An error at the start names what is missing and must not print the secrets that are there.
    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    database_url: SecretStr = Field(validation_alias="DATABASE_URL", description="The API role's URL.")
    database_worker_url: SecretStr = Field(
        validation_alias="DATABASE_WORKER_URL", description="The worker role's URL."
    )
    database_pool_size: int = Field(default=5, ge=1, validation_alias="DATABASE_POOL_SIZE")
    kafka_bootstrap_servers: str = Field(validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    kafka_topic_prefix: str = Field(default="", validation_alias="KAFKA_TOPIC_PREFIX")
    redis_url: SecretStr = Field(validation_alias="REDIS_URL")
    jwks_url: str = Field(
        validation_alias="JWKS_URL", description="Where accounts publishes its signing keys."
    )
    token_issuer: str = Field(validation_alias="TOKEN_ISSUER")
    log_level: str = Field(default="INFO", validation_alias="LOG_LEVEL")
    # The worker's own door, where it is a process of its own; beside the API there is none. Without a port: no door.
    worker_host: str = Field(default="127.0.0.1", validation_alias="WORKER_HOST")
    worker_port: int | None = Field(default=None, ge=1, le=65_535, validation_alias="WORKER_PORT")
    otlp_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    enable_kong: bool = Field(default=True, validation_alias="ENABLE_KONG")
    enable_billing: bool = Field(default=True, validation_alias="ENABLE_BILLING")

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name, field in cls.model_fields.items():
            variable = variable_names(cls, name, field)
            path = os.environ.get(f"{variable}_FILE")  # noqa: TID251 - this is the settings class
            key = variable if field.validation_alias else name
            if path and key not in values and name not in values:
                values[key] = Path(path).read_text(encoding="utf-8").rstrip("\n")
        return values
