"""The settings of accounts, read once by main, worker and cli."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from accounts.domain.user import normalised_email
from common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Own variables start with ACCOUNTS_; each may be given as `<NAME>_FILE` instead."""

    model_config = SettingsConfigDict(
        env_prefix="ACCOUNTS_", frozen=True, extra="ignore", populate_by_name=True
    )

    oidc_issuer: str = Field(validation_alias="OIDC_ISSUER", description="`iss` of the tokens to exchange.")
    oidc_audience: str = Field(default="marketplace", description="What their `aud` must hold.")
    oidc_discovery_url: str | None = Field(
        default=None, description="Where to read the issuer's metadata if not below its own URL."
    )
    oidc_timeout_seconds: float = Field(default=3.0, gt=0)
    signing_key: SecretStr = Field(description="Ed25519 private JWK; `accounts keygen` makes one.")
    retired_keys: str = Field(
        default="", description="Public JWKs (a JSON list) still accepted while tokens live."
    )
    token_ttl_seconds: int = Field(default=900, ge=60, le=86_400)
    smtp_url: SecretStr | None = Field(
        default=None,
        description="smtp://, smtp+starttls:// or smtps://, with user:password@; without it nobody is told.",
    )
    smtp_timeout_seconds: float = Field(default=10.0, gt=0, description="Of each step with the mail server.")
    mail_from: str = Field(
        default="Marketplace <alerts@marketplace.example>", description="Of every message."
    )
    platform_admins: str = Field(
        default="", description="Verified e-mail addresses of operators, comma-separated."
    )

    @property
    def platform_admin_addresses(self) -> frozenset[str]:
        """The operators' addresses in the form in which addresses are compared."""
        return frozenset(normalised_email(a) for a in self.platform_admins.split(",") if a.strip())
