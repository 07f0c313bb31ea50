"""The catalogue's settings."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read once by main, worker and cli."""

    model_config = SettingsConfigDict(
        env_prefix="CATALOG_", frozen=True, extra="ignore", populate_by_name=True
    )

    moderation: bool = Field(default=True, description="An operator approves what is published first.")
    allow_loopback_upstreams: bool = Field(
        default=False, description="Let base URLs point to this machine: for development only."
    )
    upstream_master: SecretStr | None = Field(
        default=None, validation_alias="UPSTREAM_MASTER", min_length=32,
        description="What the secrets for upstreams are derived from; the gateway's environment holds the same.",
    )  # fmt: skip
    openapi_max_bytes: int = Field(default=5 * 1024 * 1024, ge=1024, description="Largest OpenAPI document.")
