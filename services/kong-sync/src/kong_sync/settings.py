"""The settings of kong-sync, read once by main, worker and cli."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from common.ids import derived_id
from common.settings import ServiceSettings
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.clients.kong_proxy import KongProxy
from kong_sync.clients.lua_files import read_lua
from kong_sync.domain.edge import Edge, RedisAddress
from kong_sync.domain.guard import DeleteBudget
from kong_sync.metrics import ADMIN_CALLS

# These end up inside a Lua string.
_PLAIN = r"^[^\"\\\s@]*$"


class Settings(ServiceSettings):
    """Own variables start with KONG_SYNC_; Kong's two addresses and those of the front door have no prefix."""

    model_config = SettingsConfigDict(
        env_prefix="KONG_SYNC_", frozen=True, extra="ignore", populate_by_name=True
    )

    kong_admin_url: str = Field(validation_alias="KONG_ADMIN_URL")
    kong_proxy_url: str = Field(validation_alias="KONG_PROXY_URL", description="As this process reaches it.")
    public_proxy_url: str | None = Field(
        default=None, description="As callers reach it; KONG_PROXY_URL if unset."
    )
    namespace: str = Field(
        default="marketplace", pattern="^[a-z0-9-]{1,40}$", description="One per marketplace on a Kong."
    )
    ingest_url: str = Field(
        default="http://127.0.0.1:8104/v1/ingest/kong",
        description="Where Kong posts its log, as Kong reaches it.",
    )
    file_log_path: str | None = Field(default=None, description="A file that Kong's node also logs to.")
    log_batch_seconds: float = Field(
        default=0.5, gt=0, le=60, description="How long Kong gathers log entries."
    )
    gateway_redis_host: str | None = Field(
        default=None, description="As Kong reaches it; unset: counters per node."
    )
    gateway_redis_port: int = Field(default=6379, ge=1, le=65_535)
    gateway_redis_database: int = Field(default=0, ge=0)
    test_calls_per_day: int = Field(
        default=1_000, ge=1, description="Of a subscription's test keys together: they are never billed."
    )
    default_calls_per_second: int = Field(
        default=50,
        ge=0,
        description="Of a consumer whose own limits are not in the gateway; 0: without limit.",
    )
    reconcile_interval_seconds: float = Field(default=60.0, gt=0, description="Between full sweeps.")
    writes_at_once: int = Field(default=4, ge=1, le=8, description="To the Admin API.")
    delete_budget_count: int = Field(
        default=0, ge=0, description="Unexplained removals that need no confirmation."
    )
    delete_budget_share: float = Field(default=0.05, ge=0, le=1)
    canary_connections: int = Field(
        default=3, ge=1, description="Fresh connections that must all see the canary."
    )
    canary_timeout_seconds: float = Field(default=10.0, gt=0)
    admin_timeout_seconds: float = Field(default=10.0, gt=0)
    lua_dir: Path = Field(default=Path("gateway/lua"))
    front_door_file: Path = Field(default=Path("gateway/kong.yml"))
    problem_base_url: str = Field(
        default="/problems/", pattern=_PLAIN, description="What a problem's `type` begins with."
    )
    portal_url: str = Field(
        default="", pattern=_PLAIN, description="The portal, for links in problem details."
    )

    front_door_accounts_url: str = Field(
        default="http://127.0.0.1:8106", validation_alias="DECK_ACCOUNTS_URL"
    )
    front_door_catalog_url: str = Field(default="http://127.0.0.1:8101", validation_alias="DECK_CATALOG_URL")
    front_door_subscriptions_url: str = Field(
        default="http://127.0.0.1:8102", validation_alias="DECK_SUBSCRIPTIONS_URL"
    )
    front_door_billing_url: str = Field(default="http://127.0.0.1:8103", validation_alias="DECK_BILLING_URL")
    front_door_metering_url: str = Field(
        default="http://127.0.0.1:8104", validation_alias="DECK_METERING_URL"
    )
    front_door_kong_sync_url: str = Field(
        default="http://127.0.0.1:8105", validation_alias="DECK_KONG_SYNC_URL"
    )
    front_door_portal_origin: str = Field(
        default="http://127.0.0.1:8000", validation_alias="DECK_PORTAL_ORIGIN"
    )

    @property
    def front_door_values(self) -> dict[str, str]:
        """What stands for each variable in gateway/kong.yml; decK reads the same names from its environment."""
        return {
            str(field.validation_alias): str(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if name.startswith("front_door_") and field.validation_alias
        }

    def edge(self) -> Edge:
        """How our entities look in this marketplace's gateway."""
        redis = None
        if self.gateway_redis_host:
            redis = RedisAddress(
                self.gateway_redis_host, self.gateway_redis_port, self.gateway_redis_database
            )
        return Edge(
            namespace=self.namespace, ingest_url=self.ingest_url, derive=derived_id, redis=redis,
            lua=read_lua(self.lua_dir, problem_base=self.problem_base_url, portal_url=self.portal_url),
            file_log_path=self.file_log_path, log_batch_seconds=self.log_batch_seconds,
            test_calls_per_day=self.test_calls_per_day, default_calls_per_second=self.default_calls_per_second,
        )  # fmt: skip

    def gateway(self) -> Gateway:
        """The gateway, with clients of both its ports; close it at the end."""
        return Gateway(
            admin=KongAdmin(self.kong_admin_url, timeout_seconds=self.admin_timeout_seconds, on_call=_count_call),
            proxy=KongProxy(self.kong_proxy_url), edge=self.edge(), enabled=self.enable_kong,
            public_proxy_url=self.public_proxy_url or self.kong_proxy_url,
            budget=DeleteBudget(self.delete_budget_count, self.delete_budget_share),
            canary_connections=self.canary_connections, canary_timeout_seconds=self.canary_timeout_seconds,
            writes_at_once=self.writes_at_once,
        )  # fmt: skip


def _count_call(method: str, outcome: str) -> None:
    ADMIN_CALLS.labels(method, outcome).inc()
