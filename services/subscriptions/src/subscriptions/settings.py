"""The settings of subscriptions."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read once by main, worker and cli."""

    model_config = SettingsConfigDict(
        env_prefix="SUBSCRIPTIONS_", frozen=True, extra="ignore", populate_by_name=True
    )

    expiry_check_seconds: float = Field(default=5.0, gt=0, description="How often ended keys are looked for.")
