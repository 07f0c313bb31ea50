"""Billing's settings. There is no URL of metering or the catalogue here: what they know arrives as events."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read once, by main, worker and cli."""

    model_config = SettingsConfigDict(env_prefix="BILLING_", frozen=True)

    stripe_secret_key: SecretStr = Field(validation_alias="STRIPE_SECRET_KEY")
    stripe_publishable_key: str = Field(default="", validation_alias="STRIPE_PUBLISHABLE_KEY")
    stripe_webhook_secret: SecretStr = Field(validation_alias="STRIPE_WEBHOOK_SECRET")
    stripe_api_base: str | None = Field(
        default=None,
        validation_alias="STRIPE_API_BASE",
        description="Another server than Stripe's, for development.",
    )
    stripe_timeout_seconds: float = Field(default=10.0, gt=0)
    platform_fee_percent: Decimal = Field(default=Decimal(3), ge=0, le=100)
    seller: str = Field(
        default="MP", pattern="^[A-Z0-9]{1,8}$", description="The legal seller; numbers begin with it."
    )
    minimum_invoice_minor_units: int = Field(
        default=1,
        ge=1,
        description="Less is carried to the next invoice. Stripe charges no card below 50 cents.",
    )
    minimum_payout_minor_units: int = Field(default=1, ge=1, description="Less stays available.")
    past_due_after_days: int = Field(
        default=7, ge=1, description="An invoice open for longer makes its owner past due."
    )
    default_currency: str = Field(
        default="EUR",
        pattern="^[A-Z]{3}$",
        description="Balances show it with zeros before anything was sold.",
    )
    worker_idle_seconds: float = Field(
        default=1.0, gt=0, description="Pause of a worker loop that found nothing."
    )
    onboarding_return_url: str = Field(
        default="http://127.0.0.1:8000/", description="Where Stripe sends providers back."
    )
